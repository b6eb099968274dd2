"""Columns of the image table that divide the test images into slices."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.config.evaluate import Slices
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.missing_values import is_missing
from skin_lesions.data.sources.column_names import ALIASES, find_column
from skin_lesions.evaluation.slices.model import LeftOutColumn

MISSING = "missing"
NOT_A_NUMBER = "not a number"
LEAKED_COLUMN = "is_leaked"
# Columns that identify or describe files. They are no subgroups of patients.
_OF_FILES = frozenset(
    {"file", "image_id", "label", "original_split", "width", "height", "bytes", "format"}
)
# Columns that can have one value for each class by chance. They are subgroups nevertheless.
_NOT_A_LABEL = frozenset({LEAKED_COLUMN, "source"})
_IDENTIFIERS = frozenset({"filename_key", "lesion_id", "patient_id"})


@dataclass(frozen=True, kw_only=True)
class Division:
    """A division of images into slices.

    Attributes:
        column: Name of the column.
        values: The value of each image as text, (n,).
        order: All values that occur, in the order of display.
    """

    column: str
    values: pd.Series
    order: tuple[str, ...]


def divide(
    images: pd.DataFrame, labels: NDArray[np.intp], settings: Slices
) -> tuple[list[Division], list[LeftOutColumn]]:
    """Divide images by each column of ``settings.columns``, or by all columns with few values.

    Args:
        images: Rows of the image table; a column ``is_leaked`` is used if there is one.
        labels: The class number of each image, (n,).
        settings: Parameters ``evaluate.slices``.

    Returns:
        The divisions, and the columns that are left out. Columns that describe files are in
        neither.

    Raises:
        InputError: A column of ``settings.columns`` does not exist.
    """
    candidates = [str(column) for column in images if column not in _OF_FILES]
    if settings.columns is not None:
        unknown = [name for name in settings.columns if name not in candidates]
        if unknown:
            raise InputError(
                "evaluate.slices.columns has names that are not metadata columns: "
                f"{', '.join(map(printable, unknown))}. Expected some of: "
                f"{', '.join(map(printable, candidates))}. Fix: use these names, or null for all "
                "columns with few values"
            )
        leaked = [LEAKED_COLUMN] if LEAKED_COLUMN in candidates else []
        candidates = [*dict.fromkeys([*settings.columns, *leaked])]
    age = find_column(ALIASES["age"], candidates)
    divisions: list[Division] = []
    left_out: list[LeftOutColumn] = []
    for name in candidates:
        if name == age:
            division = age_bands(images[name], settings.age_bands)
        else:
            division = _by_value(images[name])
        reason = _reason_to_leave_out(division, labels, settings.max_values)
        if reason is None:
            divisions.append(division)
        else:
            left_out.append(LeftOutColumn(column=name, reason=reason))
    return divisions, left_out


def age_bands(ages: pd.Series, starts: Sequence[float]) -> Division:
    """Divide ages into bands; missing values and texts that are no number are bands of their own.

    Args:
        ages: Ages in years, as numbers or text.
        starts: The start of each band except the first, in years, increasing.
    """
    years = pd.to_numeric(ages, errors="coerce").to_numpy(dtype=np.float64)  # (n,)
    names = [f"below {starts[0]:g}"]
    names += [f"{a:g} to below {b:g}" for a, b in pairwise(starts)]
    names += [f"{starts[-1]:g} or more", NOT_A_NUMBER, MISSING]
    missing = is_missing(ages).to_numpy()
    band = np.searchsorted(np.asarray(starts), years, side="right")  # (n,)
    band = np.where(np.isnan(years), len(starts) + 1, band)
    band = np.where(missing, len(starts) + 2, band)
    occurring = np.unique(band)
    return Division(
        column=str(ages.name),
        values=pd.Series(np.array(names, dtype=object)[band], ages.index),
        order=tuple(names[i] for i in occurring),
    )


def _by_value(column: pd.Series) -> Division:
    """Divide images by the value of a column; the most common value comes first."""
    values = column.astype(object).map(lambda cell: str(cell).strip()).mask(is_missing(column))
    counts = values.value_counts()
    order = sorted(counts.index, key=lambda value: (-counts[value], value))
    if values.isna().any():
        order.append(MISSING)
    return Division(
        column=str(column.name), values=values.fillna(MISSING), order=tuple(map(str, order))
    )


def _reason_to_leave_out(
    division: Division, labels: NDArray[np.intp], max_values: int
) -> str | None:
    if division.column in _IDENTIFIERS:
        return "identifier"
    values = len(division.order)
    if values == 1:
        only = division.order[0]
        return "all values are missing" if only == MISSING else f"only one value: {only}"
    if values > max_values:
        return f"{values} different values; evaluate.slices.max_values allows {max_values}"
    pairs = pd.DataFrame({"value": division.values.to_numpy(), "label": labels}).drop_duplicates()
    repeats_label = pairs["value"].is_unique and pairs["label"].is_unique
    if repeats_label and division.column not in _NOT_A_LABEL:
        return "its values are the classes, as in the results by class"
    return None
