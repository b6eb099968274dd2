"""What every source of images provides."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class SourceFiles:
    """The files of a source; nothing is read yet.

    ``table`` has one row per file: file, label, original_split (None where the source has none),
    source, filename_key (what the file's name says it belongs to) and the columns of the metadata.
    ``read(file)`` gives its bytes. ``origin`` says where all this came from.
    """

    table: pd.DataFrame
    read: Callable[[str], bytes]
    origin: dict[str, Any] = field(default_factory=dict)


def is_synthetic(table: pd.DataFrame) -> bool:
    """Say whether the images of a table were drawn by the demo source."""
    return bool(table.attrs.get("origin", {}).get("kind") == "demo")
