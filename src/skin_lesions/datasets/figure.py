"""Kedro data set of figures as PNG files."""

import base64
from pathlib import Path

from kedro.io import AbstractDataset
from matplotlib.figure import Figure

from skin_lesions.datasets.previews import ImagePreview


class FigureDataset(AbstractDataset[Figure, bytes]):
    """Saves a Figure as PNG, and loads the bytes of the PNG to embed them in a page.

    MatplotlibDataset of Kedro cannot load what it saved.
    """

    def __init__(self, *, filepath: str, dpi: int = 150, metadata: dict[str, object] | None = None):
        self._path, self._dpi, self.metadata = Path(filepath), dpi, metadata

    def load(self) -> bytes:
        """Return the bytes of the PNG."""
        return self._path.read_bytes()

    def save(self, data: Figure) -> None:
        """Save the figure as PNG."""
        # Without date and software version, equal figures give equal files.
        data.savefig(self._path, format="png", dpi=self._dpi, metadata={"Software": None})

    def preview(self) -> ImagePreview:
        """Show the figure in kedro-viz."""
        return ImagePreview(base64.b64encode(self.load()).decode())

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
