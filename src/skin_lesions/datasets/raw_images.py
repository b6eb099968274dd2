"""Kedro data set of the raw images, with the original bytes of the source."""

from pathlib import Path, PurePosixPath

import pandas as pd
from kedro.io import AbstractVersionedDataset, Version

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.data.pixel_store import IngestRequest, PixelStore, open_for_append
from skin_lesions.data.provenance import Origin
from skin_lesions.data.raw_store import ObjectStore, RawImages, store_files
from skin_lesions.datasets.previews import TablePreview
from skin_lesions.datasets.table import read_frame, write_frame
from skin_lesions.datasets.versioned import check_table, find_versions, readable_errors


class RawImagesDataset(AbstractVersionedDataset[IngestRequest, RawImages]):
    """Saves one manifest per version, and each file once in a store keyed by sha256.

    The manifest is written last and makes a version complete. Unchanged files need no additional
    space in the next version. Saving also decodes the images, so that no file is read and hashed
    twice.

    Args:
        filepath: The manifest; versions are at ``<filepath>/<version>/<name>``.
        objects: Folder of the store of raw files.
        decode_into: Folder of the decoded images; the data set ``pixel_store`` opens it.
        version: Set by Kedro.
        metadata: For kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        objects: str,
        decode_into: str,
        version: Version | None = None,
        metadata: dict[str, object] | None = None,
    ):
        super().__init__(
            filepath=PurePosixPath(filepath), version=version, glob_function=find_versions
        )
        self._store, self._pixels = ObjectStore(Path(objects)), PixelStore(Path(decode_into))
        self.metadata = metadata

    def load(self) -> RawImages:
        """Load the manifest without reading any image.

        Raises:
            InputError: The manifest is damaged.
        """
        path = Path(self._get_load_path())
        with readable_errors(path):
            table, origin = read_frame(path, Origin)
            check_table(table, ["file", "bytes"], path)
        return RawImages(table, self._store, origin, str(self.resolve_load_version()))

    def save(self, data: IngestRequest) -> None:
        """Store and decode the missing files, then write the manifest."""
        path = Path(self._get_save_path())
        with open_for_append(self._pixels.at(data.size)) as writer:
            manifest = store_files(data.files, self._store, writer.decode)
        with atomic_write(path) as partial:
            write_frame(manifest, data.files.origin, partial)

    def preview(self, nrows: int = 10) -> TablePreview:
        """Show the first rows of the manifest in kedro-viz."""
        table = pd.read_parquet(Path(self._get_load_path())).head(nrows)
        return TablePreview(table.to_dict(orient="split"))

    def _exists(self) -> bool:
        return Path(self._get_load_path()).exists()

    def _describe(self) -> dict[str, object]:
        return {
            "filepath": self._filepath,
            "objects": str(self._store.folder),
            "decode_into": str(self._pixels.folder),
        }
