"""The raw images, byte for byte as the source gave them."""

from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro.io import AbstractVersionedDataset, Version
from kedro_datasets._typing import TablePreview

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.data.pixel_store import IngestRequest, PixelStore
from skin_lesions.data.raw_store import ObjectStore, RawImages, store_files


class RawImagesDataset(AbstractVersionedDataset[IngestRequest, RawImages]):
    """A manifest per version, and the bytes once, in a store by their sha256.

    The manifest is written last: it makes a version whole. A file that did not change costs
    nothing in the next version. While it has the bytes at hand, saving also decodes them into
    the pixels, so that no file is read and hashed twice.

    Args:
        filepath: The manifest; versions lie at ``<filepath>/<version>/<name>``.
        objects: Folder of the store.
        pixel_store: Folder of the decoded images, which the data set ``pixel_store`` opens.
        version: Given by Kedro.
        metadata: For kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        objects: str,
        pixel_store: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        super().__init__(filepath=PurePosixPath(filepath), version=version)
        self._store, self._pixels = ObjectStore(Path(objects)), PixelStore(Path(pixel_store))
        self.metadata = metadata

    def load(self) -> RawImages:
        """Load the manifest; no image is read."""
        table = pd.read_parquet(Path(self._get_load_path()))
        table.attrs["version"] = self.resolve_load_version()
        return RawImages(table, self._store)

    def save(self, data: IngestRequest) -> None:
        """Copy and decode what the stores lack, then write the manifest."""
        path = Path(self._get_save_path())
        with self._pixels.at(data.size).open_for_append() as appender:
            manifest = store_files(data.files, self._store, appender.decode)
        with atomic_write(path) as partial:
            manifest.to_parquet(partial, index=False)

    def preview(self, nrows: int = 10) -> TablePreview:
        """Show the first rows of the manifest in kedro-viz."""
        table = pd.read_parquet(Path(self._get_load_path())).head(nrows)
        return TablePreview(table.to_dict(orient="split"))

    def _exists(self) -> bool:
        return Path(self._get_load_path()).exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "objects": str(self._store.folder)}
