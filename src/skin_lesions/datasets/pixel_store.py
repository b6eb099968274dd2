"""Kedro data set of the decoded images."""

from pathlib import Path

from kedro.io import AbstractDataset

from skin_lesions.data.pixel_store import DecodeRequest, PixelStore
from skin_lesions.datasets.previews import JSONPreview


class PixelStoreDataset(AbstractDataset[DecodeRequest, PixelStore]):
    """Decodes missing images on saving, and opens the store without reading it on loading.

    Not versioned: the store is keyed by content and only grows. Each version of the tables
    therefore finds its images in it.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, object] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> PixelStore:
        """Open the store."""
        return PixelStore(self._path)

    def save(self, data: DecodeRequest) -> None:
        """Decode the images of ``data`` that are not yet in the store."""
        PixelStore(self._path).add(data)

    def preview(self) -> JSONPreview:
        """Count the images of each size for kedro-viz."""
        return JSONPreview(PixelStore(self._path).summary())

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
