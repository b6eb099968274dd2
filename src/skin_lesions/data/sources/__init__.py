"""Image sources: synthetic images, a folder, or a Kaggle data set.

``source.kind`` selects the source.
"""

import logging
from functools import partial
from pathlib import Path

from skin_lesions.config.source import DemoSource, Source
from skin_lesions.core.text import encodable
from skin_lesions.data.provenance import Origin, path_hash
from skin_lesions.data.sources.base import SourceFiles
from skin_lesions.data.sources.file_listing import check_outside
from skin_lesions.data.sources.filename_keys import filename_key
from skin_lesions.data.sources.folder import existing_folder, open_folder
from skin_lesions.data.sources.metadata import read_metadata
from skin_lesions.data.sources.synthetic import render_file, synthetic_table

log = logging.getLogger(__name__)


def open_source(source: Source) -> SourceFiles:
    """List the files of the source that the parameters select.

    Raises:
        InputError: The source does not exist, contains no labeled images, or cannot be downloaded.
    """
    if source.kind == "demo":
        return _open_demo(source.demo)
    if source.kind == "folder":
        folder = existing_folder(source.folder)
        origin = Origin(kind="folder", folder=str(folder), folder_hash=path_hash(folder))
        return open_folder(folder, encodable(folder.name), source, origin)
    return _open_kaggle(source)


def check_folder(source: Source, data_root: Path) -> None:
    """Check the source folder and the metadata tables, before any other check.

    Raises:
        InputError: ``source.folder`` is not a folder, one of it and the data root contains the
            other, or ``source.metadata`` cannot be used.
    """
    if source.kind == "folder":
        check_outside(existing_folder(source.folder), data_root)
    if source.kind != "demo":
        read_metadata(source)


def _open_demo(demo: DemoSource) -> SourceFiles:
    seed = demo.seed
    hidden = ["planted", "lesion", *([] if demo.missingness_leak else ["diameter"])]
    table = synthetic_table(seed).drop(columns=hidden)
    table.insert(3, "source", "demo")
    table.insert(4, "filename_key", [filename_key(file) for file in table["file"]])
    return SourceFiles(table, partial(render_file, seed=seed), Origin(kind="demo", seed=seed))


def _open_kaggle(source: Source) -> SourceFiles:
    # Imported here, because the import of kagglehub takes a second.
    from skin_lesions.data.sources.kaggle import download_dataset  # noqa: PLC0415

    downloaded = download_dataset(source.kaggle.dataset, source.kaggle.version)
    return open_folder(downloaded.folder, downloaded.dataset, source, downloaded.origin)
