"""Crops of lesions for a training: the localizer, and the main lesion of each image.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from skin_lesions.config.preprocess import Preprocess
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.annotations import read_annotations
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.weights_origin import WeightsLeakage, WeightsOrigin
from skin_lesions.training.weights_leakage import check_weights_leakage

log = logging.getLogger(__name__)

Boxes = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LesionCrops:
    """The main lesion of the images of a training.

    Attributes:
        localizer: The localizer; it becomes a part of the model.
        boxes: Box (4,), x0, y0, x1, y1 as fractions, by image_id.
        annotated: Those of the boxes that are annotations.
        leakage: Test and validation images that the localizer was fitted to; None without any.
    """

    localizer: Localizer
    boxes: Mapping[str, Boxes]
    annotated: Mapping[str, Boxes]
    leakage: WeightsLeakage | None

    def of(self, rows: pd.DataFrame) -> Boxes:
        """Return the boxes of some rows, (n, 4)."""
        return np.array([self.boxes[image_id] for image_id in rows["image_id"]]).reshape(-1, 4)

    def digest(self) -> str:
        """Return a hash of the localizer and the annotations, 16 hex digits.

        It does not depend on the located boxes. They can differ by rounding on another device, but
        an interrupted training must resume there.
        """
        digest = hashlib.sha256(self.localizer.digest().encode())
        for image_id, box in sorted(self.annotated.items()):
            digest.update(image_id.encode() + box.tobytes())
        return digest.hexdigest()[:16]


def prepare_crops(
    pixels: PixelArray,
    split_table: pd.DataFrame,
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    preprocess: Preprocess,
    *,
    allow_leakage: bool,
    batch_size: int,
    device: str,
) -> LesionCrops | None:
    """Find the main lesion of the train and val images, if the inputs are crops around it.

    Annotations replace the boxes of training images only. The boxes of all other images are those
    of the localizer, as for new images.

    Args:
        pixels: Stored images.
        split_table: Columns file, image_id and split of the used images.
        image_table: Columns file, image_id, width and height of all images.
        image_groups: Groups of all images, for the check for leakage.
        preprocess: Localizer and annotations.
        allow_leakage: As ``train.allow_leaky_weights``.
        batch_size: Images per batch.
        device: As in ``train.device``.

    Returns:
        The boxes; None if ``preprocess.localizer`` is None.

    Raises:
        InputError: The localizer or the annotations cannot be used, or the localizer was fitted to
            test images.
    """
    if preprocess.localizer is None:
        return None
    from skin_lesions.models.devices import choose_device, limit_threads  # noqa: PLC0415
    from skin_lesions.models.localization.lesion_boxes import (  # noqa: PLC0415
        locate_main_lesions,
    )

    # What may fail is before the localization, which takes longer.
    localizer = _read_localizer(Path(preprocess.localizer), pixels.size)
    origin = WeightsOrigin(
        weights="preprocess.localizer",
        file=Path(preprocess.localizer).name,
        train_image_ids=localizer.train_image_ids,
        val_image_ids=localizer.val_image_ids,
    )
    checked = check_weights_leakage(
        origin, split_table, image_groups, allow=allow_leakage, parameter="preprocess.localizer"
    )
    annotated = _annotated_boxes(preprocess, image_table)
    image_ids = split_table.loc[split_table["split"].isin(["train", "val"]), "image_id"].tolist()
    limit_threads()
    found = locate_main_lesions(localizer, pixels, image_ids, batch_size, choose_device(device))
    train_ids = set(split_table.loc[split_table["split"] == "train", "image_id"])
    used = {image_id: box for image_id, box in annotated.items() if image_id in train_ids}
    boxes = dict(zip(image_ids, found, strict=True))
    log.info(
        "Inputs are crops around the main lesion: located on %s, annotated on %s",
        pluralize(len(boxes) - len(used), "image"),
        pluralize(len(used), "training image"),
    )
    return LesionCrops(
        localizer=localizer, boxes={**boxes, **used}, annotated=used, leakage=checked.leakage
    )


def _read_localizer(path: Path, stored_image_size: int) -> Localizer:
    """Read a localizer that gets its inputs from stored squares of this size (pixels).

    Raises:
        InputError: The file does not exist, cannot be read, or needs its classifier.
    """
    from skin_lesions.models.localization.localizer_file import read_localizer  # noqa: PLC0415

    if not path.is_file():
        raise InputError(
            f"preprocess.localizer: the file does not exist ({printable(path)}). Expected the file "
            "localizer.pth of kedro run --pipelines localize"
        )
    localizer = read_localizer(path)
    if localizer.method == "cam":
        raise InputError(
            f"preprocess.localizer: {printable(path)} has the method cam, which needs its "
            "classifier. Expected the method dense, mean_box or whole_image. Fix: kedro run "
            "--pipelines localize --params localize.method=dense"
        )
    preprocessing = replace(localizer.preprocessing, stored_image_size=stored_image_size)
    return localizer.model_copy(update={"preprocessing": preprocessing})


def _annotated_boxes(preprocess: Preprocess, image_table: pd.DataFrame) -> dict[str, Boxes]:
    """Return the largest annotated box of each annotated image, (4,), by image_id."""
    if preprocess.annotations is None:
        return {}
    from skin_lesions.models.localization.lesions import Lesion  # noqa: PLC0415

    found = read_annotations(Path(preprocess.annotations).resolve(), image_table)
    if found.problems:
        log.warning(
            "preprocess.annotations: %s cannot be used; kedro run --pipelines localize lists them",
            pluralize(len(found.problems), "annotation"),
        )
    image_ids = image_table.set_index("file")["image_id"]
    return {
        image_ids[file]: Lesion(boxes=entry.boxes).main_box for file, entry in found.lesions.items()
    }
