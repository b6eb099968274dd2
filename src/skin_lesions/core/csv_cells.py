"""Cells of CSV files that a spreadsheet does not run as formulas."""

import re

# A spreadsheet runs a cell as a formula if it begins with ``= + - @``, a tab or a line break.
# A cell that already begins with apostrophes gets one more, so that loading restores the text.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def with_apostrophe(cell: str) -> str:
    """Return the text of a cell that a spreadsheet does not run as a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def without_apostrophe(cell: str) -> str:
    """Return the original text of a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
