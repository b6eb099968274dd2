"""Check that a model and the tables of an evaluation belong together."""

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.fingerprints import data_fingerprint, split_fingerprint
from skin_lesions.data.raw_store import RawImages
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.models.trained_model import UncalibratedModel

_REMEDY = (
    "Fix: train on the current data: kedro run --pipelines train,evaluate,report (same --env and "
    "--params)"
)


def check_model_matches_data(
    model: UncalibratedModel,
    split_table: SplitTable,
    image_table: ImageTable,
    raw_images: RawImages,
) -> None:
    """Check that a model was made from this split and from these images, before it is evaluated.

    A run checks stored data sets before its first node. This check also covers tables that the
    same run creates.

    Raises:
        InputError: They do not match. The message has both versions and the command that fixes it.
    """
    provenance = model.provenance
    if split_fingerprint(split_table.frame) != provenance.split_fingerprint:
        raise InputError(
            f"Model {model.version} was trained on the split of split_table "
            f"{provenance.split_table_version}, not on that of {split_table.version}: the "
            f"test images may have been training images. {_REMEDY}"
        )
    if data_fingerprint(image_table.frame) != provenance.data_fingerprint:
        raise InputError(
            f"Model {model.version} was trained on the images of image_table "
            f"{provenance.image_table_version}, not on those of {image_table.version}. "
            f"{_REMEDY}"
        )
    unknown = not_stored(image_table, raw_images)
    if len(unknown):
        raise InputError(
            f"{len(unknown)} images of image_table {image_table.version} "
            f"(e.g. {printable(unknown[0])}) are not in raw_images {raw_images.version}. They come "
            f"from version {provenance.raw_images_version}. {_REMEDY}"
        )


def not_stored(image_table: ImageTable, raw_images: RawImages) -> list[str]:
    """Return the files of an image table that are not in these raw images."""
    keys = ["file", "image_id"]
    available = pd.MultiIndex.from_frame(raw_images.table[keys])
    unknown = ~pd.MultiIndex.from_frame(image_table.frame[keys]).isin(available)
    return [str(file) for file in image_table.frame.loc[unknown, "file"]]
