"""Folders of files, opened as a source."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from skin_lesions.data.sources import open_source
from skin_lesions.data.sources.base import SourceFiles
from support.factories import source, write_files


def open_folder_source(folder: Path | None, **params: Any) -> SourceFiles:
    """Open a folder with these parameters of the source."""
    return open_source(source(folder=folder, **params))


def folder_rows(
    folder: Path, names: Iterable[str], **params: Any
) -> list[tuple[str, str | None, str | None]]:
    """Write files with these names and open the folder; return (file, label, original split)."""
    found = open_folder_source(write_files(folder, dict.fromkeys(names, b"x")), **params).table
    return list(found[["file", "label", "original_split"]].itertuples(index=False, name=None))
