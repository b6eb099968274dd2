"""The raw images, byte for byte as the source gave them."""

from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro.io import AbstractVersionedDataset, Version
from kedro_datasets._typing import TablePreview

from skin_lesions.files import written_beside
from skin_lesions.raw_images import ObjectStore, RawImages, store_files
from skin_lesions.sources import SourceFiles


class RawImagesDataset(AbstractVersionedDataset[SourceFiles, RawImages]):
    """A manifest per version, and the bytes once, in a store by their sha256.

    The manifest is written last: it makes a version whole. A file that did not change costs
    nothing in the next version.

    Args:
        filepath: The manifest; versions lie at ``<filepath>/<version>/<name>``.
        objects: Folder of the store.
        version: Given by Kedro.
        metadata: For kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        objects: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        super().__init__(filepath=PurePosixPath(filepath), version=version)
        self._store, self.metadata = ObjectStore(Path(objects)), metadata

    def load(self) -> RawImages:
        """Load the manifest; no image is read."""
        table = pd.read_parquet(Path(self._get_load_path()))
        table.attrs["version"] = self.resolve_load_version()
        return RawImages(table, self._store)

    def save(self, data: SourceFiles) -> None:
        """Copy what the store lacks, then write the manifest."""
        path = Path(self._get_save_path())
        manifest = store_files(data, self._store)
        with written_beside(path) as partial:
            manifest.to_parquet(partial, index=False)

    def preview(self, nrows: int = 10) -> TablePreview:
        """Show the first rows of the manifest in kedro-viz."""
        table = pd.read_parquet(Path(self._get_load_path())).head(nrows)
        return TablePreview(table.to_dict(orient="split"))

    def _exists(self) -> bool:
        return Path(self._get_load_path()).exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "objects": str(self._store.folder)}
