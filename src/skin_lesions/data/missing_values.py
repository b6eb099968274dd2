"""Missing values: the texts that tables use in place of an unknown value.

All parts of the project use this list: metadata tables, labels, groups and shortcut probes.
"""

import re

import pandas as pd

from skin_lesions.core.text import normalize_name

# Case and outer spaces are ignored.
MISSING_VALUES = frozenset(
    {
        "",
        "?",
        "-",
        "--",
        ".",
        "na",
        "n/a",
        "n.a.",
        "#n/a",
        "#na",
        "<na>",
        "nan",
        "nat",
        "null",
        "nil",
        "none",
        "missing",
        "unknown",
        "unk",
        "undefined",
        "unspecified",
        "not available",
        "not known",
        "not recorded",
        "not specified",
    }
)
# Numbers that stand for a missing identifier. In other columns, such as age, 0 is a value.
MISSING_NUMBERS = frozenset({"0", "-1"})


def is_missing(column: pd.Series) -> pd.Series:
    """Return a mask of the missing cells: empty ones, and those in ``MISSING_VALUES``.

    Empty cells are None, NaN, NA or NaT. Their texts are in ``MISSING_VALUES``.
    """
    folded = [str(cell).strip().casefold() for cell in column]
    return pd.Series(folded, column.index, dtype=object).isin(MISSING_VALUES)


def identifiers(column: pd.Series) -> pd.Series:
    """Return a column of identifiers as text; missing values become None.

    Equal identifiers get equal texts: ``7``, ``7.0`` and `` 7 `` become ``7``. The numbers 0 and
    -1 are kept, see ``is_missing_number``.
    """
    text = [re.sub(r"^(-?\d+)\.0+$", r"\1", normalize_name(str(cell)).strip()) for cell in column]
    return pd.Series(text, column.index, dtype=object).where(~is_missing(column), None)


def is_missing_number(identifier: pd.Series) -> pd.Series:
    """Return a mask of the identifiers 0 and -1, which many tables use for a missing one.

    Args:
        identifier: Result of ``identifiers``.
    """
    return identifier.isin(MISSING_NUMBERS)
