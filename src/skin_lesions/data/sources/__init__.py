"""Sources of images: synthetic images, a folder, or a Kaggle data set."""

import logging
from functools import partial

from skin_lesions.config.source import Source
from skin_lesions.data.sources.base import SourceFiles
from skin_lesions.data.sources.filename_keys import filename_key
from skin_lesions.data.sources.folder import existing_folder, open_folder
from skin_lesions.data.sources.synthetic import render_file, synthetic_table

log = logging.getLogger(__name__)


def open_source(source: Source) -> SourceFiles:
    """List the files of the source that the parameters name.

    Raises:
        InputError: It is not there, holds no labelled images, or can't be downloaded.
    """
    if source.kind == "demo":
        return _open_demo(source.demo.seed)
    if source.kind == "folder":
        folder = existing_folder(source.folder)
        return open_folder(folder, folder.name, source, {"kind": "folder", "folder": str(folder)})
    return _open_kaggle(source)


def check_folder(source: Source) -> None:
    """Refuse a folder that is not there, before anything else is looked for.

    Raises:
        InputError: ``source.folder`` is not a folder.
    """
    if source.kind == "folder":
        existing_folder(source.folder)


def _open_demo(seed: int) -> SourceFiles:
    table = synthetic_table(seed).drop(columns=["planted", "lesion"])
    table.insert(3, "source", "demo")
    table.insert(4, "filename_key", [filename_key(file) for file in table["file"]])
    return SourceFiles(table, partial(render_file, seed=seed), {"kind": "demo", "seed": seed})


def _open_kaggle(source: Source) -> SourceFiles:
    from skin_lesions.data.sources.kaggle import download_dataset  # noqa: PLC0415  (kagglehub takes a second)

    found = download_dataset(source.kaggle.dataset, source.kaggle.version)
    return open_folder(found.folder, found.dataset, source, found.origin)
