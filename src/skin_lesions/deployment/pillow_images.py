"""Inputs of a network without torch: Pillow resizes the images.

Decoder, crop and colors are those of the pipelines. Only the resizing differs: both are bilinear
with antialiasing, but round some values to another gray level.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from skin_lesions.data.image_files import Pixels, StoredPixels, read_pixels
from skin_lesions.data.preprocessing_settings import Preprocessing


def read_with_pillow(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """Decode an image file into the pixels of one input, as the pipelines do.

    Args:
        data: Complete content of the file.
        preprocessing: Image sizes and resize mode of the model.

    Returns:
        (image_size, image_size, 3) uint8, RGB. For crops of lesions, the complete image as a
        square of ``stored_image_size`` pixels.

    Raises:
        UnreadableImageError: As for ``data.image_files.read_pixels``.
    """
    image = read_pixels(data)
    if preprocessing.lesion_margin is not None:
        return _stored_square(image, preprocessing)
    return input_of_image(image, preprocessing)


def input_of_image(image: StoredPixels, preprocessing: Preprocessing) -> Pixels:
    """Resize a decoded image to one input, (image_size, image_size, 3) uint8, RGB."""
    width, height = image.upright_size
    return crop_square(_stored_square(image, preprocessing), width / height, preprocessing)


def crop_square(
    square: Pixels, aspect: float, preprocessing: Preprocessing, box: Sequence[float] | None = None
) -> Pixels:
    """Return the input of a stored square, (image_size, image_size, 3); see ``resize_batch``."""
    rows, columns = preprocessing.crop(aspect, box)
    return _resize(square[slice(*rows), slice(*columns)], preprocessing.image_size)


def _stored_square(image: StoredPixels, preprocessing: Preprocessing) -> Pixels:
    """Resize to the stored square: the pipelines store it, so the network is trained on it."""
    return image.finish(_resize(image.pixels, preprocessing.stored_image_size))


def _resize(pixels: Pixels, size: int) -> Pixels:
    """Return a square, (size, size, 3), of an image with 3 channels or 1 channel."""
    if pixels.shape[2] == 1:
        gray = _resize_bilinear(np.ascontiguousarray(pixels[..., 0]), size)
        return np.repeat(gray[..., None], 3, axis=2)
    return _resize_bilinear(np.ascontiguousarray(pixels), size)


def _resize_bilinear(pixels: Pixels, size: int) -> Pixels:
    # Pillow increases the support of the filter when it reduces an image, which is antialiasing.
    resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized)
