"""Main lesion of stored images, around which the inputs of a network are cropped."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.models.localization.localizer import LesionDetector
from skin_lesions.models.localization.localizer_model import Localizer

log = logging.getLogger(__name__)

_CHUNK = 512  # images in memory at a time
_CPU_BATCH = 8  # larger batches take more time on a CPU
# Boxes by image_id that this process has located, by the digest of the localizer and the folder.
_LOCATED: dict[tuple[str, Path], dict[str, npt.NDArray[np.float64]]] = {}


def locate_main_lesions(
    localizer: Localizer,
    images: PixelArray,
    image_ids: Sequence[str],
    batch_size: int,
    device: torch.device,
) -> npt.NDArray[np.float64]:
    """Return the box of the main lesion of each image.

    A process locates each image once: training, calibration, evaluation and figures need the same
    boxes, and the localizer takes more time than many classifiers.

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
    located = _LOCATED.setdefault((localizer.digest(), images.folder), {})
    missing = [image_id for image_id in dict.fromkeys(image_ids) if image_id not in located]
    if missing:
        detector = LesionDetector(localizer, None, device)
        size = min(batch_size, _CPU_BATCH) if device.type == "cpu" else batch_size
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            found = detector.find(images.read(images.rows(chunk)), size)
            located.update(zip(chunk, (lesions.boxes[0] for lesions in found), strict=True))
            if len(missing) > _CHUNK:
                done = start + len(chunk)
                log.info("Located the lesions of %d of %d images", done, len(missing))
    return np.array([located[image_id] for image_id in image_ids]).reshape(-1, 4)
