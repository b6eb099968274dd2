"""Kedro data set of predictions for new images, computed while they are saved."""

import logging
from pathlib import Path

import pandas as pd
from kedro.io import AbstractDataset

from skin_lesions.core.csv_cells import without_apostrophe
from skin_lesions.core.text import pluralize
from skin_lesions.datasets.previews import TablePreview
from skin_lesions.deployment.prediction_run import PredictionRun
from skin_lesions.deployment.row_file import write_rows
from skin_lesions.deployment.rows import REFER

log = logging.getLogger(__name__)

_NUMBERS = ("p_", "unknown_score", "lesion_")  # starts of the names of the columns with numbers


class NewPredictionsDataset(AbstractDataset[PredictionRun, pd.DataFrame]):
    """Predicts the files of a run in batches and writes each batch at once.

    The rows are written to a file in ``in_progress``, which is named after the inputs of the run.
    It becomes the saved file when it is complete. A run with equal inputs continues the file of an
    interrupted run.
    """

    def __init__(
        self, *, filepath: str, in_progress: str, metadata: dict[str, object] | None = None
    ):
        self._path, self._in_progress, self.metadata = Path(filepath), Path(in_progress), metadata

    def load(self) -> pd.DataFrame:
        """Load the table: text, numbers (NaN for unreadable files) and ``refer`` as bool."""
        return self._read()

    def _read(self, rows: int | None = None) -> pd.DataFrame:
        table = pd.read_csv(
            self._path, dtype=str, keep_default_na=False, encoding="utf-8-sig", nrows=rows
        )
        for name in table.columns.astype(str):
            if name.startswith(_NUMBERS):
                table[name] = pd.to_numeric(table[name])
            else:
                table[name] = table[name].map(without_apostrophe)
        return table.assign(**{REFER: table[REFER] == str(True)})

    def save(self, data: PredictionRun) -> None:
        """Predict the files that an interrupted run has not predicted yet, then save all rows."""
        self._in_progress.mkdir(parents=True, exist_ok=True)
        unfinished = self._in_progress / f"{data.fingerprint()}.csv"
        others = sum(path != unfinished for path in self._in_progress.glob("*.csv"))
        if others:
            log.info(
                "%s of other files, models or settings in %s; delete those that you do not want "
                "to continue",
                pluralize(others, "unfinished prediction"),
                self._in_progress.name,
            )
        counts = write_rows(data, unfinished)
        unfinished.replace(self._path)
        log.info("%s", counts)

    def preview(self, nrows: int = 10) -> TablePreview:
        """Show the first rows in kedro-viz."""
        return TablePreview(self._read(nrows).to_dict(orient="split"))

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
