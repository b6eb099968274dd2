"""Kedro data set of lesion boxes: a folder with the same boxes in three formats."""

import logging
from pathlib import Path

import pandas as pd
from kedro.io import AbstractDataset

from skin_lesions.core.errors import InputError
from skin_lesions.data.annotations import write_coco, write_csv, write_yolo
from skin_lesions.datasets.previews import TablePreview

log = logging.getLogger(__name__)

COCO, CSV, YOLO = "boxes.json", "boxes.csv", "yolo"


class LesionBoxesDataset(AbstractDataset[pd.DataFrame, pd.DataFrame]):
    """Writes boxes in a new folder: COCO, CSV, and one YOLO file for each image.

    YOLO files have the names of the images without suffix. If two images would share a file, the
    YOLO files are left out with a warning, so that a finished run loses nothing.

    The saved table has one row per box, see ``data.annotations.box_table.boxes_by_image``. The
    loaded table is that of the CSV file, with corners in pixels.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, object] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> pd.DataFrame:
        """Load the CSV file."""
        return pd.read_csv(self._path / CSV)

    def save(self, data: pd.DataFrame) -> None:
        """Write all formats."""
        self._path.mkdir()
        write_coco(data, self._path / COCO)
        write_csv(data, self._path / CSV)
        try:
            write_yolo(data, self._path / YOLO)
        except (InputError, ValueError) as error:  # names that have no text file of their own
            log.warning("No YOLO files were written. COCO and CSV are complete. %s", error)

    def preview(self, nrows: int = 10) -> TablePreview:
        """Show the first rows in kedro-viz."""
        return TablePreview(self.load().head(nrows).to_dict(orient="split"))

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
