"""Image decoder: file bytes to resized RGB pixels; torch does the resizing."""

import math
from dataclasses import dataclass

import torch
from torchvision.transforms.v2.functional import resize

from skin_lesions.data.image_files import Pixels, read_pixels


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image, resized to a square.

    Attributes:
        pixels: (size, size, 3) uint8, RGB.
        width: Width of the original image after applying the EXIF orientation, pixels.
        height: Height of the original image after applying the EXIF orientation, pixels.
        format: Format as named by Pillow.
    """

    pixels: Pixels
    width: int
    height: int
    format: str


def decode(data: bytes, size: int) -> DecodedImage:
    """Decode one image file and resize it to a square, without preserving the aspect ratio.

    The function applies the EXIF orientation, blends transparent pixels with white, scales 16-bit
    values to 8 bits and converts the colors of an embedded ICC profile to sRGB. Resizing is
    antialiased.

    Args:
        data: Complete content of the file.
        size: Width and height of the square, pixels.

    Raises:
        UnreadableImageError: The bytes are not exactly one complete image in a format of
            ``FORMATS``.
    """
    image = read_pixels(data)
    width, height = image.upright_size
    square = image.finish(_resize(image.pixels, (size, size)))
    return DecodedImage(square, width, height, image.format)


def decode_within(data: bytes, max_area: int) -> Pixels:
    """Decode one image file as ``decode`` does, and preserve the aspect ratio.

    Args:
        data: Complete content of the file.
        max_area: Maximum number of pixels; larger images are reduced.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        UnreadableImageError: As for ``decode``.
    """
    image = read_pixels(data)
    height, width = image.pixels.shape[:2]
    factor = min(1.0, math.sqrt(max_area / (height * width)))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return image.finish(_resize(image.pixels, size))


def _resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return the image at another (height, width), (height, width, 3), with antialiasing."""
    image = torch.from_numpy(pixels).permute(2, 0, 1)  # (channels, height, width)
    # torchvision calls interpolate with channels-last memory, so .contiguous() does not copy RGB.
    resized = resize(image, list(size), antialias=True)
    return resized.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
