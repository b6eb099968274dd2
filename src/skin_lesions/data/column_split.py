"""Split by a column: the test images are those of some sources, hospitals or devices."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable, suggest
from skin_lesions.data.missing_values import identifiers

_MAX_LISTED = 12  # values in an error message


@dataclass(frozen=True, kw_only=True)
class ColumnDivision:
    """Division of all images by a column.

    Attributes:
        is_test: Whether each image is a test image; (n,).
        is_excluded: Whether each image is left out, because its group spans both parts, or its
            value is missing; (n,).
        missing_files: Number of files without a value.
        spanning_groups: Number of groups with images in both parts.
        spanning_files: Number of files of these groups.
    """

    is_test: pd.Series
    is_excluded: pd.Series
    missing_files: int
    spanning_groups: int
    spanning_files: int


def divide_by_column(
    table: pd.DataFrame, column: str | None, test_values: Sequence[str] | None
) -> ColumnDivision:
    """Divide images into test images and others, by the values of a column.

    No group may be in both parts. Groups with images in both are left out completely: with them,
    the test images would not be independent of the training images.

    Args:
        table: One row per file; group_id and the column.
        column: Name of the column; numbers are compared as numbers.
        test_values: Values of the test images.

    Raises:
        InputError: The column or a value does not exist, or all images have one of the values.
    """
    if column not in table:
        names = [str(name) for name in table.columns if name not in ("group_id", "pixel_id")]
        raise InputError(
            f"split.column ({printable(column)}) is not a column of the images; "
            f"{suggest(str(column), names)}. Fix: set split.column, or add the column to "
            "source.metadata and run ingest again"
        )
    values = identifiers(table[column])  # text, None if missing
    wanted = identifiers(pd.Series(test_values, dtype=object))
    known = values.dropna().value_counts()
    absent = [str(value) for value in wanted if value not in known.index]
    if absent:
        listed = ", ".join(f"{printable(value)} ({n:,})" for value, n in known.items())
        if len(known) > _MAX_LISTED:
            listed = f"{len(known)} values, such as {printable(known.index[0])}"
        raise InputError(
            f"split.test_values has values that {printable(column)} does not have "
            f"({', '.join(map(printable, absent))}). Expected some of: {listed}"
        )
    missing = values.isna()
    is_test = values.isin(wanted)
    if is_test[~missing].all():
        raise InputError(
            f"All images have one of split.test_values in {printable(column)}, so that none is "
            "left for the training. Fix: leave out some of the values"
        )
    parts = is_test[~missing].groupby(table["group_id"]).nunique()
    spanning = parts.index[parts > 1]
    in_spanning = table["group_id"].isin(spanning) & ~missing
    return ColumnDivision(
        is_test=is_test,
        is_excluded=missing | in_spanning,
        missing_files=int(missing.sum()),
        spanning_groups=len(spanning),
        spanning_files=int(in_spanning.sum()),
    )
