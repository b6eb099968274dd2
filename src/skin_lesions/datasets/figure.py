"""Kedro data set of figures as PNG files."""

import base64
from pathlib import Path

from kedro.io import AbstractDataset

from skin_lesions.datasets.previews import ImagePreview
from skin_lesions.reporting.figures.drawn import DrawnFigure, check_png


class FigureDataset(AbstractDataset[DrawnFigure, bytes]):
    """Saves a figure as PNG, and loads the bytes of the PNG to embed them in a page.

    MatplotlibDataset of Kedro cannot load what it saved.
    """

    def __init__(self, *, filepath: str, dpi: int = 150, metadata: dict[str, object] | None = None):
        self._path, self._dpi, self.metadata = Path(filepath), dpi, metadata

    def load(self) -> bytes:
        """Return the bytes of the PNG.

        Raises:
            ValueError: The file is damaged.
        """
        png = self._path.read_bytes()
        check_png(png)
        return png

    def save(self, data: DrawnFigure) -> None:
        """Save the figure as PNG."""
        data.save(self._path, self._dpi)

    def preview(self) -> ImagePreview:
        """Show the figure in kedro-viz."""
        return ImagePreview(base64.b64encode(self.load()).decode())

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
