"""Selection of the external images that are predicted: mapped labels, each image once."""

from dataclasses import dataclass

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.data.groups import add_groups
from skin_lesions.data.label_mapping import LabelMapping
from skin_lesions.data.splits import has_label_conflict

SPLIT_NAME = "external"  # in the column split of the predictions


@dataclass(frozen=True, kw_only=True)
class SelectedImages:
    """The images that are predicted, and how many files are left out before.

    Attributes:
        rows: Rows of the image table with label (the class), source_label, split, group_id and
            is_leaked (whether the image overlaps with the training).
        ignored: Number of files whose label is ignored.
        conflicting: Number of files whose pixels occur with two classes.
        repeated: Number of further files with equal bytes.
    """

    rows: pd.DataFrame
    ignored: int
    conflicting: int
    repeated: int


def select_external_images(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    mapping: LabelMapping,
    overlapping_files: set[str],
) -> SelectedImages:
    """Select the images with a class, each once, and mark the overlap with the training.

    Args:
        image_table: One row per readable external file.
        image_groups: group_id and pixel_id of each of these files.
        mapping: The class of each label.
        overlapping_files: Files that overlap with the training.

    Raises:
        InputError: No image is left that does not overlap with the training.
    """
    table = add_groups(image_table, image_groups).sort_values("file")
    source_label = table["label"].astype(str)
    table = table.assign(label=mapping.apply(source_label), source_label=source_label)
    labeled = table[table["label"].notna()]
    conflicting = has_label_conflict(labeled)
    consistent = labeled[~conflicting]
    rows = consistent.drop_duplicates("image_id")
    rows = rows.assign(split=SPLIT_NAME, is_leaked=rows["file"].isin(overlapping_files))
    if rows["is_leaked"].all():  # also without rows
        raise InputError(
            f"No external image is left: of {len(table)} readable files, "
            f"{len(table) - len(labeled)} have an ignored label, {int(conflicting.sum())} have "
            f"conflicting labels, and {int(rows['is_leaked'].sum())} overlap with training images. "
            "Expected images that are independent of the training"
        )
    return SelectedImages(
        rows=rows.reset_index(drop=True),
        ignored=len(table) - len(labeled),
        conflicting=int(conflicting.sum()),
        repeated=len(consistent) - len(rows),
    )
