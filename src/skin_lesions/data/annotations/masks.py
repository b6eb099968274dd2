"""Masks of lesions: black and white images, and the boxes of their connected components."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from skin_lesions.data.annotations.annotation_files import AnnotationError, read_bytes
from skin_lesions.data.annotations.image_names import TableImage
from skin_lesions.data.image_files import UnreadableImageError, read_pixels

Mask = NDArray[np.bool_]

# A smaller component, relative to the area of the largest one, is a fragment and gets no box.
MIN_COMPONENT = 0.05
MAX_ASPECT_CHANGE = 0.02  # relative difference of the ratio of width to height


def read_mask(path: Path) -> Mask:
    """Read a black and white image, (height, width). Lesions are True.

    A pixel is True if it is brighter than half of the brightest pixel. Lesions can therefore have
    the value 1 or 255. The EXIF orientation is applied.

    Raises:
        AnnotationError: The file cannot be read, or is not a gray image.
    """
    try:
        image = read_pixels(read_bytes(path))
    except UnreadableImageError as error:
        raise AnnotationError(str(error)) from None
    # Colors are not converted, because only the order of the gray levels matters.
    pixels = replace(image, icc_profile=None).finish(image.pixels)  # (height, width, 1 or 3)
    gray = pixels[..., 0]
    if not all(np.array_equal(gray, pixels[..., i]) for i in range(1, pixels.shape[2])):
        raise AnnotationError("a color image, not a mask; expected white lesions on black")
    return gray > int(gray.max()) / 2


def boxes_of_mask(mask: Mask) -> NDArray[np.float64]:
    """Return one box per lesion as fractions of the width and height, (n, 4).

    A lesion is a connected component with at least ``MIN_COMPONENT`` of the area of the largest
    component. Pixels that touch at a corner are connected. The order is from top to bottom.

    Raises:
        AnnotationError: The mask is empty.
    """
    labels, n = ndimage.label(mask, structure=np.ones((3, 3)))
    if n == 0:
        raise AnnotationError("the mask is empty")
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]  # pixels; label 0 is the background
    slices = ndimage.find_objects(labels)
    corners = [(x.start, y.start, x.stop, y.stop) for y, x in slices]
    height, width = mask.shape
    boxes = np.array(corners) / (width, height, width, height)
    return boxes[areas >= MIN_COMPONENT * areas.max()]


def check_aspect(width: float, height: float, image: TableImage) -> None:
    """Check that a mask or the image of an annotation has the shape of an image.

    Raises:
        AnnotationError: The ratio of width to height differs by more than ``MAX_ASPECT_CHANGE``.
    """
    change = (width / height) / (image.width / image.height)
    if max(change, 1 / change) <= 1 + MAX_ASPECT_CHANGE:
        return
    swapped = (height / width) / (image.width / image.height)
    is_rotated = max(swapped, 1 / swapped) <= 1 + MAX_ASPECT_CHANGE
    hint = "; the annotation may be older than the rotation of the image" if is_rotated else ""
    raise AnnotationError(
        f"made for {width:g} x {height:g} pixels, but the image has {image.width} x "
        f"{image.height} pixels, which is another shape{hint}"
    )
