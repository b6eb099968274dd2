"""ICC profiles: conversion from the color space of an embedded profile to sRGB."""

import io
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Pixels = npt.NDArray[np.uint8]

_GRAY_MODES = frozenset({"1", "L", "LA", "La"})
_OTHER_MODES = frozenset({"CMYK", "LAB", "HSV", "YCbCr", "I", "F"})
# Gray levels. Profiles of sRGB by different makers differ by 1 level because of rounding.
_MAX_DIFFERENCE_FROM_SRGB = 2


def convert_to_srgb(pixels: Pixels, profile: bytes | None, mode: str) -> Pixels:
    """Convert pixels from the color space of a profile to sRGB, with perceptual intent.

    Pixels are returned unchanged if the profile is sRGB, or if it cannot be used. A profile cannot
    be used if it is damaged, or if it is for another kind of colors than those of the image.

    Args:
        pixels: (height, width, 3), RGB. The channels of a gray image are equal.
        profile: ICC profile, or None.
        mode: Mode of the image as named by Pillow.
    """
    if profile is None or mode in _OTHER_MODES:
        return pixels
    is_gray = mode in _GRAY_MODES or mode.startswith("I;16")
    transform = _srgb_transform(profile, is_gray=is_gray)
    if transform is None:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]) if is_gray else pixels)
    # A copy, because the memory of Pillow cannot be written, and torch warns about such arrays.
    return np.array(ImageCms.applyTransform(image, transform))


@lru_cache(maxsize=32)  # the images of a dataset have few different profiles
def _srgb_transform(profile: bytes, *, is_gray: bool) -> ImageCms.ImageCmsTransform | None:
    """Return the transform to sRGB, or None if it is not needed or the profile cannot be used."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            "L" if is_gray else "RGB",
            "RGB",
            ImageCms.Intent.PERCEPTUAL,
        )
    except (ImageCms.PyCMSError, OSError):  # damaged, or for colors of another kind
        return None
    levels = np.arange(0, 256, 15 if is_gray else 51, dtype=np.uint8)
    before = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    if is_gray:
        before = np.repeat(levels[None, :, None], 3, axis=2)  # (1, levels, 3)
    image = Image.fromarray(np.ascontiguousarray(before[..., 0]) if is_gray else before)
    after = np.asarray(ImageCms.applyTransform(image, transform))
    difference = np.abs(after.astype(int) - before)
    return transform if difference.max() > _MAX_DIFFERENCE_FROM_SRGB else None
