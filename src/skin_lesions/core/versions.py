"""Versions of loaded data, and selection of stored versions."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable

T = TypeVar("T")

UNSAVED = "(unsaved)"


@runtime_checkable
class Versioned(Protocol):
    """Data that know from which version of their catalog entry they were loaded."""

    @property
    def version(self) -> str:
        """The version, or ``UNSAVED``."""

    def with_version(self, version: str) -> Self:
        """Return the same data with this version."""


class VersionedModel(BaseModel):
    """Base of results in JSON that know from which version of their entry they were loaded.

    Attributes:
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: SkipJsonSchema[str] = Field(default=UNSAVED, exclude=True)

    def with_version(self, version: str) -> Self:
        """Return the same result with this version."""
        return self.model_copy(update={"version": version})


def is_stored_path(reference: str) -> bool:
    """Return whether a reference to a stored result is a path, not a version.

    >>> is_stored_path("2026-11-23T06.00.00.000Z"), is_stored_path("other/data")
    (False, True)
    """
    return "/" in reference or "\\" in reference or reference.endswith((".parquet", ".json"))


def file_version(path: Path) -> str:
    """Return the catalog version of a model or localizer, or the start of its sha256 elsewhere.

    The catalog stores a file as ``<name>/<version>/<name>``.
    """
    if len(path.parents) > 1 and path.parents[1].name == path.name:
        return path.parent.name
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


@dataclass(frozen=True)
class StoredVersions(Generic[T]):
    """All stored versions of a result, and files of other data roots. They are read on request.

    Attributes:
        name: The data set that they are versions of.
        versions: The versions in this data root, newest first.
        load_version: Function that loads one of these versions.
        load_path: Function that loads a file, or the newest version of another data root.
    """

    name: str
    versions: tuple[str, ...]
    load_version: Callable[[str], T]
    load_path: Callable[[Path], T]

    def select(self, reference: str, parameter: str) -> T:
        """Load a version, or the file or data root with this path.

        Args:
            reference: The version or the path.
            parameter: Name of the parameter, for error messages.

        Raises:
            InputError: It does not exist or cannot be read.
        """
        if is_stored_path(reference):
            if not Path(reference).exists():
                raise InputError(
                    f"{parameter} ({reference}) does not exist. Expected a version of {self.name}, "
                    "a file of it, or a data root"
                )
            return self.load_path(Path(reference))
        if reference not in self.versions:
            known = ", ".join(self.versions[:5]) or "none"
            raise InputError(
                f"{parameter} ({printable(reference)}) is not a version of {self.name}. "
                f"Available: {known}. A path contains a slash"
            )
        return self.load_version(reference)


@dataclass(frozen=True)
class NamedResults(Generic[T]):
    """Stored versions of a result for each of several names, such as external sets.

    Attributes:
        by_name: The versions of each name, sorted by name.
    """

    by_name: Mapping[str, StoredVersions[T]]
