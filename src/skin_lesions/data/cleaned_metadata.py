"""Metadata table of a cleaned copy: path, label, split and identifiers of each copied file."""

import re

import pandas as pd

from skin_lesions.core.csv_cells import with_apostrophe
from skin_lesions.core.errors import InputError
from skin_lesions.data.portable_names import class_folders, file_paths

_OWN_COLUMNS = ("file", "label", "split", "image_id", "group_id", "original_file", "original_split")
# Columns of the image table that describe the file, not the patient or lesion.
_FILE_COLUMNS = frozenset({"source", "filename_key", "width", "height", "bytes", "format"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def select_copied_files(
    image_table: pd.DataFrame, split_table: pd.DataFrame, cleaning_list: pd.DataFrame
) -> pd.DataFrame:
    """Return the rows of the image table that a cleaned copy contains, with split and group_id.

    Args:
        image_table: One row per readable file.
        split_table: Split and group_id of the files that the split uses.
        cleaning_list: The files without a split are left out.

    Raises:
        InputError: The list belongs to other tables, so that an image would be copied twice.
    """
    left_out = cleaning_list.loc[cleaning_list["split"].eq(""), "file"]
    table = image_table[~image_table["file"].isin(left_out)]
    by_file = split_table.set_index("file").reindex(table["file"])
    selected = table.assign(
        split=by_file["split"].to_numpy(), group_id=by_file["group_id"].to_numpy()
    )
    if selected["split"].isna().any() or selected["image_id"].duplicated().any():
        raise InputError(
            "cleaning_list does not belong to image_table and split_table. Expected all three "
            "from the same images. Fix: kedro run --pipelines clean (same --env and --params)"
        )
    return selected.sort_values("file").reset_index(drop=True)


def cleaned_metadata(selected: pd.DataFrame) -> pd.DataFrame:
    """Return the metadata table of a cleaned copy: one row per file, sorted by path.

    Args:
        selected: Result of ``select_copied_files``.

    Returns:
        file (the path in the copy), label, split, image_id, group_id, original_file,
        original_split, and the metadata columns of the source. A metadata column with one of these
        names gets the prefix ``metadata_``.
    """
    names = class_folders(selected["label"])
    folders = [
        f"{split}/{names[label]}"
        for split, label in selected[["split", "label"]].itertuples(index=False)
    ]
    paths = file_paths(
        folders,
        selected["file"].tolist(),
        selected["image_id"].tolist(),
        selected["format"].tolist(),
    )
    own = selected.assign(original_file=selected["file"], file=paths)[list(_OWN_COLUMNS)]
    described = {*_FILE_COLUMNS, *_OWN_COLUMNS} - {"original_file"}
    others = selected[[column for column in selected if column not in described]]
    taken = set(_OWN_COLUMNS)
    renamed: dict[str, str] = {}
    for column in others:
        name = str(column)
        while name in taken:
            name = f"metadata_{name}"
        taken.add(name)
        renamed[str(column)] = name
    return pd.concat([own, others.rename(columns=renamed)], axis=1).sort_values("file")


def metadata_cells(metadata: pd.DataFrame) -> pd.DataFrame:
    """Convert all cells to text without formulas. Missing values are empty."""
    cells = metadata.astype(object).where(metadata.notna(), "").map(_cell)
    return cells.rename(columns=with_apostrophe)


def _cell(value: object) -> str:
    text = str(value)
    # A negative number is no formula, and an apostrophe would make it a text.
    return text if _NUMBER.fullmatch(text) else with_apostrophe(text)
