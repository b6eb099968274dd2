"""Tables of text, harmless when a spreadsheet opens them."""

import csv
import re
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview


class SafeCSVDataset(AbstractDataset[pd.DataFrame, pd.DataFrame]):
    """A CSV file of text that others chose, such as file names.

    A cell that a spreadsheet would run as a formula (it begins with ``= + - @``, a tab or a line
    break) is written with an apostrophe before it, which loading takes away again. All cells are
    text, and stay it: a file named ``NA`` does not come back as a missing value.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> pd.DataFrame:
        """Load the table as it was saved."""
        table = pd.read_csv(self._path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        return table.map(_without_apostrophe)

    def save(self, data: pd.DataFrame) -> None:
        """Write the table."""
        table = data.map(_with_apostrophe)
        # The mark of UTF-8 at its begin is what Excel needs to know it by.
        table.to_csv(self._path, index=False, quoting=csv.QUOTE_ALL, encoding="utf-8-sig")

    def preview(self, nrows: int = 10) -> TablePreview:
        """Show the first rows in kedro-viz."""
        return TablePreview(self.load().head(nrows).to_dict(orient="split"))

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


# With apostrophes of its own before it, so that taking one away gives back what was there.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def _with_apostrophe(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _without_apostrophe(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
