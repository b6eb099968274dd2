"""Versions of loaded data."""

from typing import Protocol, Self, runtime_checkable

UNSAVED = "(unsaved)"


@runtime_checkable
class Versioned(Protocol):
    """Data that know from which version of their catalog entry they were loaded."""

    @property
    def version(self) -> str:
        """The version, or ``UNSAVED``."""

    def with_version(self, version: str) -> Self:
        """Return the same data with this version."""
