"""Leakage by initial weights: an earlier model that was trained on the current test images."""

import logging
from dataclasses import replace

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.groups import add_groups
from skin_lesions.models.weights_origin import WeightsLeakage, WeightsOrigin

log = logging.getLogger(__name__)

_EXAMPLES = 3  # files in the message
_REPLACEMENTS = {
    "train.weights": "train.weights=imagenet",
    "preprocess.localizer": "preprocess.localizer=null",
}


def check_weights_leakage(
    origin: WeightsOrigin,
    split_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    *,
    allow: bool,
    parameter: str = "train.weights",
) -> WeightsOrigin:
    """Check that the initial weights were not trained on the test or validation images.

    A test image is leaked if the earlier model used an image of its group for training or
    validation. A validation image is leaked if it used one for training: the selected epoch and
    the temperature would then depend on memorized images. Images that are in the current train
    split do not count, because the training uses them in any case. The same holds for images that
    were and are validation images.

    Args:
        origin: Origin of the weights, with the image ids of the earlier model.
        split_table: One row per used file; columns file, image_id and split.
        image_groups: Groups of all files, also of those that the split excludes.
        allow: Whether to continue in case of leakage; a warning is logged.
        parameter: The parameter that selects the weights, for messages.

    Returns:
        The origin, with the leakage if there is any.

    Raises:
        InputError: There is leakage and it is not allowed, or ``image_groups`` belongs to other
            images.
    """
    if not origin.train_image_ids and not origin.val_image_ids:
        return origin
    rows = add_groups(split_table, image_groups)
    ids = {split: set(rows.loc[rows["split"] == split, "image_id"]) for split in ("train", "val")}
    trained = set(origin.train_image_ids) - ids["train"]
    selected = set(origin.val_image_ids) - ids["train"] - ids["val"]

    def leaked(split: str, used: set[str]) -> pd.DataFrame:
        groups = image_groups.loc[image_groups["image_id"].isin(used), "group_id"]
        found = rows[rows["split"].eq(split) & rows["group_id"].isin(groups)]
        return found.assign(is_direct=found["image_id"].isin(used))

    found = {"test": leaked("test", trained | selected), "val": leaked("val", trained)}
    leakage = WeightsLeakage(test_images=len(found["test"]), val_images=len(found["val"]))
    if not leakage.test_images and not leakage.val_images:
        log.info("No test or validation image was used for %s", parameter)
        return origin
    sizes = rows["split"].value_counts()
    problem = _describe(origin, parameter, leakage, pd.concat(found.values()), sizes)
    if not allow:
        raise InputError(
            f"{problem} The results would be too high. Fix: use another file (--params "
            f"{_REPLACEMENTS[parameter]}), or the images and the split of that model. To train "
            "anyway and mark the results: --params train.allow_leaky_weights=true"
        )
    log.warning("%s The results are too high (train.allow_leaky_weights=true)", problem)
    return replace(origin, leakage=leakage)


def _describe(
    origin: WeightsOrigin,
    parameter: str,
    leakage: WeightsLeakage,
    leaked: pd.DataFrame,
    sizes: pd.Series,
) -> str:
    direct = int(leaked["is_direct"].sum())
    files = ", ".join(printable(file) for file in leaked["file"].head(_EXAMPLES))
    return (
        f"The model {printable(origin.file)} ({parameter}) was trained or selected on "
        f"{leakage.test_images} of {sizes['test']} test images and {leakage.val_images} of "
        f"{sizes['val']} validation images: {direct} of them directly, {len(leaked) - direct} "
        f"through another image of their group (e.g. {files})."
    )
