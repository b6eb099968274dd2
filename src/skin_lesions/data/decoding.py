"""Bytes of a file -> RGB pixels, or a named reason why not.

The header is read with Pillow, so that a file says what it is before anything is decoded; plain JPEG
files then go through torchvision, which is faster, everything else through Pillow. PNG too: a damaged
one makes torchvision 0.29 end the whole process by a segmentation fault.
"""

import io
import re
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageChops, UnidentifiedImageError
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2.functional import resize

from skin_lesions.core.text import printable

Pixels = npt.NDArray[np.uint8]

# Only formats that are pure data: Pillow would hand, say, an EPS file to an interpreter.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
MAX_PIXELS = 100_000_000  # 300 MB once decoded; larger headers are taken for decompression bombs
# The limit above is ours, checked from the header before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None
Image.init()  # Pillow knows some formats only once all its plugins are loaded
# What Pillow murmurs of a damaged file, we tell in the reason, or it does not matter.
warnings.filterwarnings("ignore", module=r"PIL\.")

_TRUNCATED = "damaged or truncated: it begins like an image, but its header can't be read"
_OTHER_KINDS = (
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer, not the image; fetch it with: git lfs pull",
    ),
    (0, b"<!doctype html", "an HTML page, not an image; the download failed"),
    (0, b"<html", "an HTML page, not an image; the download failed"),
    (4, b"ftyp", "HEIC, AVIF or video, which is not supported; convert it to JPEG"),
    (128, b"dicm", "DICOM, which is not supported; export it as JPEG or PNG"),
    *[(0, signature, _TRUNCATED) for signature in (b"\xff\xd8\xff", b"\x89png", b"bm", b"gif8")],
    *[(0, signature, _TRUNCATED) for signature in (b"riff", b"ii*\0", b"mm\0*")],
)
_EXIF_ORIENTATION = 0x0112
_WITH_ALPHA = {"RGBA", "LA", "PA", "RGBa", "La"}


class UnreadableImageError(Exception):
    """These bytes are not a picture we can show; the text is the reason, for people."""


@dataclass(frozen=True)
class DecodedImage:
    """``pixels``: (size, size, 3) uint8, RGB; width and height are the picture's own, upright."""

    pixels: Pixels
    width: int
    height: int
    format: str


def decode(data: bytes, size: int) -> DecodedImage:
    """Decode one image file and squash it to a square.

    EXIF orientation is applied, transparency laid on white, 16-bit scaled to 8, antialiased.

    Args:
        data: The whole file.
        size: Edge of the square, pixels.

    Raises:
        UnreadableImageError: The bytes are not one whole picture in a format of ``FORMATS``.
    """
    image = _open(data)
    orientation = _orientation(image)
    picture = _decode_pixels(image, data)
    height, width = picture.shape[1:]
    if orientation >= 5:  # stored lying on its side
        width, height = height, width
    # A square commutes with turning: cheaper than turning the full picture.
    square = _apply_orientation(_resize_square(picture, size), orientation)
    return DecodedImage(square, width, height, str(image.format))


def _open(data: bytes) -> Image.Image:
    if not data:
        raise UnreadableImageError("the file is empty")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        frames = getattr(image, "n_frames", 1)
    except UnidentifiedImageError:
        raise UnreadableImageError(_sniff_type(data)) from None
    except MemoryError:  # says nothing about the file
        raise
    except Exception as error:  # Pillow's parsers raise whatever a broken header makes them raise
        raise UnreadableImageError(f"damaged or truncated header: {_first_line(error)}") from None
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImageError(
            f"{image.width} x {image.height} pixels are more than the {MAX_PIXELS:,} allowed"
        )
    if frames > 1 and image.format != "MPO":  # MPO: a phone's JPEG with a preview behind it
        raise UnreadableImageError(
            f"{frames} pictures in one file; which one is meant is not known"
        )
    return image


def _sniff_type(data: bytes) -> str:
    if not any(data):
        return "nothing but zero bytes; the copy or download failed"
    for offset, beginning, what in _OTHER_KINDS:
        if data[offset:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(beginning):
            return what
    return f"not an image in a known format ({', '.join(FORMATS)})"


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":  # Pillow turns these itself
        return 1
    if image.format == "PNG" and "exif" not in image.info:  # Pillow would decode it all to look
        return 1
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # EXIF is often broken and never worth losing a picture for
        return 1
    return int(value) if value in range(1, 9) else 1


def _decode_pixels(image: Image.Image, data: bytes) -> torch.Tensor:
    """Return the picture as uint8, (3, height, width), or (1, height, width) where it is grey."""
    try:
        if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
            encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            return decode_jpeg(encoded, mode=ImageReadMode.RGB)
        if image.mode.startswith("I;16"):
            return torch.from_numpy(_to_uint8(np.asarray(image)))[None]
        return torch.from_numpy(_rgb_by_pillow(image)).permute(2, 0, 1)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # each decoder has errors of its own; all mean the same to us
        raise UnreadableImageError(f"damaged or truncated: {_first_line(error)}") from None


def _rgb_by_pillow(image: Image.Image) -> Pixels:
    if image.mode in ("I", "F"):
        raise UnreadableImageError("32-bit pixels have no known range")
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        image = ImageChops.invert(image)  # only Adobe inverts, but Pillow takes all for Adobe's
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba)
    return np.array(image.convert("RGB"))


def _to_uint8(values: npt.NDArray[np.uint16]) -> Pixels:
    """Scale 0..65535 to 0..255, rounded."""
    return ((values.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)


def _resize_square(picture: torch.Tensor, size: int) -> Pixels:
    # torchvision's way of calling interpolate gives rows of RGB as such, without a copy at the end.
    resized = resize(picture, [size, size], antialias=True)
    return resized.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()


def _apply_orientation(square: Pixels, orientation: int) -> Pixels:
    """Undo one of the eight EXIF orientations of a square picture."""
    if orientation in (5, 6, 7, 8):
        square = square.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        square = square[:, ::-1]
    if orientation in (3, 4, 7, 8):
        square = square[::-1]
    return np.ascontiguousarray(square)


def _first_line(error: Exception) -> str:
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    # torchvision names a line of its own source before it says what is wrong.
    return printable(re.sub(r"^.*\.cpp:\d+, ", "", first_line)[:120])
