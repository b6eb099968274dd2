"""Parameters of `external`: labeled images from elsewhere."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from skin_lesions.config.base import Location
from skin_lesions.config.source import Demo, FolderSource
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable

# Letters, digits, dots, hyphens and underscores. The name is a folder on every system.
_SAFE_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_-])?", re.ASCII)
# The catalog needs a name also if the pipeline is not run.
NO_NAME = "unnamed"


class External(FolderSource):
    """Labeled images on which a finished model is evaluated.

    Attributes:
        kind: ``folder``, or ``demo`` for synthetic images.
        name: Name of the results; None: the name of the folder, or ``demo``.
        label_map: Path of the map from labels to classes of the model.
        demo: Seed of the synthetic images.
    """

    kind: Literal["folder", "demo"]
    name: Annotated[str, Field(min_length=1)] | None
    label_map: Location | None
    demo: Demo


def external_name(external: object) -> str:
    """Return the name of an external set, from the parameters before they are validated.

    >>> external_name({"folder": "/data/hospital_b", "name": None, "kind": "folder"})
    'hospital_b'

    Raises:
        InputError: The name cannot be the name of a folder on every system.
    """
    if not isinstance(external, Mapping):
        return NO_NAME
    name, folder = external.get("name"), external.get("folder")
    if name is None and external.get("kind") == "demo":
        return "demo"
    if name is None and not isinstance(folder, str):
        return NO_NAME
    found = str(name) if name is not None else Path(str(folder)).name
    if _SAFE_NAME.fullmatch(found):
        return found
    given = "external.name" if name is not None else "The name of external.folder"
    raise InputError(
        f"{given} ({printable(found)}) cannot be the name of a folder of results. Expected 1 to 64 "
        "letters (A to Z), digits, dots, hyphens or underscores. Fix: --params external.name=..."
    )
