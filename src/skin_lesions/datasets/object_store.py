"""Kedro data set of the original images of all versions, for reading."""

from pathlib import Path
from typing import NoReturn

from kedro.io import AbstractDataset, DatasetError

from skin_lesions.data.raw_store import ObjectStore


class ObjectStoreDataset(AbstractDataset[None, ObjectStore]):
    """Opens the store of raw images without reading it; the store need not exist.

    Args:
        filepath: Folder of the store.
        metadata: For kedro-viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, object] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> ObjectStore:
        """Open the store."""
        return ObjectStore(self._path)

    def save(self, data: None) -> NoReturn:  # noqa: ARG002
        """Raise an error: the data set of the raw images saves them."""
        raise DatasetError("Raw images are saved by the data set raw_images")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
