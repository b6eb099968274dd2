"""Figures as PNG files."""

import base64
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview
from matplotlib.figure import Figure


class FigureDataset(AbstractDataset[Figure, bytes]):
    """Saves a Figure as PNG; loads the PNG's bytes, for a page to embed.

    Kedro's MatplotlibDataset can't load what it saved.
    """

    def __init__(self, *, filepath: str, dpi: int = 150, metadata: dict[str, Any] | None = None):
        self._path, self._dpi, self.metadata = Path(filepath), dpi, metadata

    def load(self) -> bytes:
        """Return the PNG's bytes."""
        return self._path.read_bytes()

    def save(self, data: Figure) -> None:
        """Draw the figure."""
        # No date and no version inside: equal figures are equal files.
        data.savefig(self._path, format="png", dpi=self._dpi, metadata={"Software": None})

    def preview(self) -> ImagePreview:
        """Show the figure in kedro-viz."""
        return ImagePreview(base64.b64encode(self.load()).decode())

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
