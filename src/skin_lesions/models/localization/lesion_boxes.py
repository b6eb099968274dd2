"""Main lesion of stored images, around which the inputs of a network are cropped."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.models.localization.localizer import LesionDetector
from skin_lesions.models.localization.localizer_model import Localizer

_CHUNK = 512  # images in memory at a time
_CPU_BATCH = 8  # larger batches take more time on a CPU


def locate_main_lesions(
    localizer: Localizer,
    images: PixelArray,
    image_ids: Sequence[str],
    batch_size: int,
    device: torch.device,
) -> npt.NDArray[np.float64]:
    """Return the box of the main lesion of each image.

    Args:
        localizer: The localizer; its classifier is not needed.
        images: Stored images.
        image_ids: The images.
        batch_size: Images per batch; on a CPU at most 8.
        device: Device of the computation.

    Returns:
        (n, 4), x0, y0, x1, y1 as fractions of the image.

    Raises:
        InputError: As for ``LesionDetector``.
    """
    detector = LesionDetector(localizer, None, device)
    if device.type == "cpu":
        batch_size = min(batch_size, _CPU_BATCH)
    rows = images.rows(image_ids)
    boxes = [np.empty((0, 4))]
    for start in range(0, len(rows), _CHUNK):
        found = detector.find(images.read(rows[start : start + _CHUNK]), batch_size)
        boxes.append(np.stack([lesions.boxes[0] for lesions in found]))
    return np.concatenate(boxes)
