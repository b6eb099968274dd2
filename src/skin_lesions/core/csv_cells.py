"""Cells of a CSV file that a spreadsheet does not run as formulas.

A spreadsheet runs a cell as a formula if it begins with ``= + - @``, a tab or a line break. Such a
cell is saved with an apostrophe at the front.
"""

import re

BYTE_ORDER_MARK = "\ufeff".encode()  # at the start of a file; with it, Excel recognizes UTF-8

# A cell that already begins with apostrophes gets one more, so that loading restores the text.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def with_apostrophe(cell: str) -> str:
    """Return the text of a cell that a spreadsheet does not run as a formula.

    >>> with_apostrophe("=A1"), with_apostrophe("mel")
    ("'=A1", 'mel')
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def without_apostrophe(cell: str) -> str:
    """Return the original text of a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
