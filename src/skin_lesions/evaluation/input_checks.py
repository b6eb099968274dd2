"""Check that a model and the tables of an evaluation belong together."""

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.data.fingerprints import data_fingerprint, split_fingerprint
from skin_lesions.data.raw_store import RawImages
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.models.trained_model import UncalibratedModel


def check_model_matches_data(
    model: UncalibratedModel,
    split_table: SplitTable,
    image_table: ImageTable,
    raw_images: RawImages,
) -> None:
    """Check that a model was made from this split and from these images, before it is evaluated.

    Kedro looks up the latest version of each dataset separately. After a crash, or with one pinned
    version, the datasets may not match.

    Raises:
        InputError: They do not match. The message has both versions and the commands that fix it.
    """
    provenance = model.provenance
    if split_fingerprint(split_table.frame) != provenance.split_fingerprint:
        raise InputError(
            f"Model {model.version} was trained on the split of split_table "
            f"{provenance.split_table_version}, not on that of {split_table.version}: the "
            f"test images may have been training images. {_remedy(model)}"
        )
    if data_fingerprint(image_table.frame) != provenance.data_fingerprint:
        raise InputError(
            f"Model {model.version} was trained on the images of image_table "
            f"{provenance.image_table_version}, not on those of {image_table.version}. "
            f"{_remedy(model)}"
        )
    keys = ["file", "image_id"]
    available = pd.MultiIndex.from_frame(raw_images.table[keys])
    unknown = ~pd.MultiIndex.from_frame(image_table.frame[keys]).isin(available)
    if unknown.any():
        first = image_table.frame.loc[unknown, "file"].iloc[0]
        raise InputError(
            f"{int(unknown.sum())} images of image_table {image_table.version} (e.g. {first}) are "
            f"not in raw_images {raw_images.version}. They come from version "
            f"{provenance.raw_images_version}. {_remedy(model)}"
        )


def _remedy(model: UncalibratedModel) -> str:
    provenance = model.provenance
    return (
        "Evaluate the model on its own data: kedro run --pipelines evaluate,report --load-versions "
        f"model:{model.version},split_table:{provenance.split_table_version},"
        f"image_table:{provenance.image_table_version},"
        f"raw_images:{provenance.raw_images_version} -- or train on the current "
        "data: kedro run --pipelines train,evaluate,report (same --env and --params)"
    )
