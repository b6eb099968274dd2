"""Kedro data set of text tables that are safe to open in a spreadsheet."""

import csv
from pathlib import Path

import pandas as pd
from kedro.io import AbstractDataset

from skin_lesions.core.csv_cells import with_apostrophe, without_apostrophe
from skin_lesions.datasets.previews import TablePreview


class SafeCSVDataset(AbstractDataset[pd.DataFrame, pd.DataFrame]):
    """Saves untrusted text, such as file names, as CSV without formulas.

    A spreadsheet runs a cell as a formula if it begins with ``= + - @``, a tab or a line break.
    Such a cell is saved with an apostrophe at the front, and loading removes it. All cells stay
    text: a file named ``NA`` is not loaded as a missing value.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, object] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> pd.DataFrame:
        """Load the table exactly as it was saved."""
        table = pd.read_csv(self._path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        return table.map(without_apostrophe)

    def save(self, data: pd.DataFrame) -> None:
        """Save the table."""
        table = data.map(with_apostrophe)
        # Excel recognizes UTF-8 only by the byte order mark at the start of the file.
        table.to_csv(self._path, index=False, quoting=csv.QUOTE_ALL, encoding="utf-8-sig")

    def preview(self, nrows: int = 10) -> TablePreview:
        """Show the first rows in kedro-viz."""
        return TablePreview(self.load().head(nrows).to_dict(orient="split"))

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
