"""Images of the page: new files made from pixels, without any metadata of the upload."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from skin_lesions.data.image_files import Pixels, StoredPixels
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.lesions import FoundLesions

MAX_SIDE = 720  # pixels; about twice the width of a figure in the page
_MAP_SIDE = 96  # pixels; a map of 7 x 7 positions looks smooth at this size
_MASK_SIDE = 192  # pixels
_MASK_COLOR = (0, 158, 115)  # bluish green of Okabe and Ito, as in the figures
_JPEG_QUALITY = 88
# Colors of a map from low to high: "inferno" of Matplotlib, as in the figure ``explanations``.
_MAP_COLORS = np.array(
    [
        *((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66)),
        *((245, 125, 21), (250, 193, 39), (252, 255, 164)),
    ],
    np.float64,
)


def shown_pixels(
    stored: StoredPixels, preprocessing: Preprocessing, lesions: FoundLesions | None = None
) -> Pixels:
    """Return the part of an image that the network sees, at most ``MAX_SIDE`` pixels on a side.

    Args:
        stored: The decoded upload.
        preprocessing: Its resize mode or margin determines the part.
        lesions: The lesions of the image; required for a model of crops.

    Returns:
        (height, width, 3) uint8, sRGB, upright, with the original aspect ratio.
    """
    pixels = stored.pixels
    if pixels.shape[2] == 1:  # 16-bit gray
        pixels = pixels.repeat(3, axis=2)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    # The gap makes large photographs several times faster, without a visible difference.
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    upright = stored.finish(np.asarray(image))
    height, width = upright.shape[:2]
    box = None if lesions is None else lesions.main_box.tolist()
    rows, columns = preprocessing.crop(width / height, box)  # of the stored square
    scale = np.array([height, width]) / preprocessing.stored_image_size
    (top, left), (bottom, right) = (
        np.rint(np.array(corner) * scale).astype(int) for corner in zip(rows, columns, strict=True)
    )
    return np.ascontiguousarray(upright[top:bottom, left:right])


def jpeg_url(pixels: Pixels) -> str:
    """Return an image as a data URL of a JPEG file without metadata."""
    return _data_url(Image.fromarray(pixels), "JPEG", quality=_JPEG_QUALITY)


def map_url(values: npt.NDArray[np.floating]) -> str | None:
    """Return a map as a data URL of a colored PNG file that is transparent where the map is low.

    Args:
        values: (h, w), at least 0.

    Returns:
        The URL; None if the map is zero everywhere.
    """
    maximum = float(values.max())
    if not maximum > 0:
        return None
    scaled = Image.fromarray(np.asarray(values / maximum, np.float32))
    smooth = scaled.resize((_MAP_SIDE, _MAP_SIDE), Image.Resampling.BICUBIC)
    x = np.clip(np.asarray(smooth, np.float64), 0.0, 1.0)
    stops = np.linspace(0.0, 1.0, len(_MAP_COLORS))
    channels = [np.interp(x, stops, _MAP_COLORS[:, c]) for c in range(3)]
    rgba = np.stack([*channels, 255 * x], axis=-1)  # (_MAP_SIDE, _MAP_SIDE, 4)
    return _data_url(Image.fromarray(np.rint(rgba).astype(np.uint8)), "PNG")


def shown_boxes(
    lesions: FoundLesions, preprocessing: Preprocessing
) -> tuple[tuple[float, float, float, float], ...]:
    """Return the boxes in the shown part of an image, the main lesion first.

    Args:
        lesions: The lesions of the image.
        preprocessing: Its resize mode or margin determines the part.

    Returns:
        (left, top, width, height) of each box, percent of the shown part. A box is cut at its
        border, and boxes outside of it are left out.
    """
    (top, left), (height, width) = _shown_part(lesions, preprocessing)
    corners = (lesions.localization.boxes - (left, top, left, top)) / (width, height, width, height)
    return tuple(
        (x0, y0, x1 - x0, y1 - y0)
        for x0, y0, x1, y1 in (100 * np.clip(corners, 0, 1)).tolist()
        if x0 < x1 and y0 < y1
    )


def mask_url(lesions: FoundLesions, preprocessing: Preprocessing) -> str:
    """Return the shown part of a soft mask as a data URL: one color, opaque where it is certain."""
    (top, left), (height, width) = _shown_part(lesions, preprocessing)
    mask = Image.fromarray(np.asarray(lesions.localization.probabilities, np.float32))
    side = mask.width
    part = (left * side, top * side, (left + width) * side, (top + height) * side)
    size = (_MASK_SIDE, _MASK_SIDE)
    smooth = mask.resize(size, Image.Resampling.BILINEAR, box=part)
    opacity = np.clip(np.asarray(smooth), 0, 1)[..., None] * 255
    color = np.broadcast_to(np.array(_MASK_COLOR), (*opacity.shape[:2], 3))
    rgba = np.concatenate([color, opacity], axis=2)
    return _data_url(Image.fromarray(np.rint(rgba).astype(np.uint8)), "PNG")


def _shown_part(
    lesions: FoundLesions, preprocessing: Preprocessing
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return (top, left) and (height, width) of the shown part as fractions of the image."""
    # Of the stored square.
    rows, columns = preprocessing.crop(lesions.aspect, lesions.main_box.tolist())
    size = preprocessing.stored_image_size
    return (
        (rows[0] / size, columns[0] / size),
        ((rows[1] - rows[0]) / size, (columns[1] - columns[0]) / size),
    )


def _data_url(image: Image.Image, file_format: str, **options: int) -> str:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    content = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/{file_format.lower()};base64,{content}"
