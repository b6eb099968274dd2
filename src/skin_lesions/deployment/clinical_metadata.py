"""Clinical metadata of new images: a table with one row for each image file."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from skin_lesions.config.source import FolderSource
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.sources.metadata import join_metadata, read_metadata
from skin_lesions.deployment.predictor import ModelDescription

_PARAMETER = re.compile(r"\bsource\.metadata(_key)?")


def read_clinical_metadata(
    path: Path | None, names: Sequence[str], description: ModelDescription, option: str
) -> pd.DataFrame | None:
    """Read the metadata that the model uses.

    Args:
        path: CSV file in one of the formats of ``source.metadata``, or None.
        names: Names of the image files.
        description: The model.
        option: Setting of the path, for error messages.

    Returns:
        The row of each file, indexed by its name; missing values are None. None without a path.

    Raises:
        InputError: The model uses no metadata, or the table cannot be used.
    """
    fusion = description.postprocessing.metadata_fusion
    if path is None:
        return None
    if fusion is None:
        raise InputError(
            f"{option} is set, but the model uses images only. Fix: leave it out, or use a model "
            "that was trained with metadata.columns"
        )
    source = FolderSource(
        folder=None,
        follow_symlinks=False,
        metadata=(str(path),),
        metadata_key=None,
        label_column=None,
        filename_pattern=None,
    )
    try:
        tables = read_metadata(source)
        rows = [table.match_files(names) for table in tables]
        joined = join_metadata(names, tables, rows)
    except InputError as error:
        raise InputError(_PARAMETER.sub(option, str(error))) from None
    absent = [name for name in fusion.encoder.names if name not in joined]
    if len(absent) == len(fusion.encoder.names):
        raise InputError(
            f"{printable(path)} has none of the columns that the model uses "
            f"({', '.join(map(printable, absent))}). Expected at least one of them"
        )
    return joined


def metadata_note(description: ModelDescription, metadata: pd.DataFrame | None) -> str | None:
    """Return a note if the model uses metadata and there are none; otherwise None."""
    fusion = description.postprocessing.metadata_fusion
    if fusion is None or metadata is not None:
        return None
    return (
        "The model also uses clinical metadata "
        f"({', '.join(map(printable, fusion.encoder.names))}). Without them, the predictions are "
        "those of the images alone"
    )
