"""External images: labeled images from elsewhere, on which a finished model is evaluated."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from skin_lesions.config.external import External
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import encodable
from skin_lesions.data.provenance import Origin, path_hash
from skin_lesions.data.sources.base import SourceFiles
from skin_lesions.data.sources.file_listing import check_outside
from skin_lesions.data.sources.folder import existing_folder, open_folder
from skin_lesions.data.sources.metadata import read_metadata
from skin_lesions.data.sources.synthetic.clinic import clinic_table, render_clinic_file

_PARAMETER = re.compile(
    r"\bsource\.(folder|metadata_key|metadata|label_column|filename_pattern|follow_symlinks|kind)\b"
)


def open_external(external: External, training: Origin) -> SourceFiles:
    """List the external files that the parameters select.

    Args:
        external: Parameters ``external``.
        training: Origin of the training images. Synthetic external images contain copies of them.

    Raises:
        InputError: The folder does not exist or contains no labeled images.
    """
    if external.kind == "demo":
        return _open_demo(external.demo.seed, training)
    with _parameters_of_external():
        folder = existing_folder(external.folder)
        origin = Origin(kind="folder", folder=str(folder), folder_hash=path_hash(folder))
        return open_folder(folder, encodable(folder.name), external, origin)


def check_external(external: External, data_root: Path) -> None:
    """Check the folder and the metadata tables of external images, before any other check.

    Raises:
        InputError: ``external.folder`` is not a folder, one of it and the data root contains the
            other, or ``external.metadata`` cannot be used.
    """
    if external.kind == "folder":
        with _parameters_of_external():
            check_outside(existing_folder(external.folder), data_root)
            read_metadata(external)


def _open_demo(seed: int, training: Origin) -> SourceFiles:
    # Without a synthetic training set, the copies are copies of no training image.
    training_seed = training.seed if training.seed is not None else seed + 1
    table = clinic_table(seed, training_seed)
    table.insert(2, "original_split", None)
    table.insert(3, "source", "demo clinic")
    table.insert(4, "filename_key", None)
    read = partial(render_clinic_file, seed=seed, training_seed=training_seed)
    return SourceFiles(table, read, Origin(kind="demo", seed=seed))


@contextmanager
def _parameters_of_external() -> Iterator[None]:
    """Name the parameters of ``external`` in errors of the functions that read a source."""
    try:
        yield
    except InputError as error:
        raise InputError(_PARAMETER.sub(r"external.\1", str(error))) from None
