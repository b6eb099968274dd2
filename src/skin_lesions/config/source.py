"""Parameters of `source`: the origin of the images."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from skin_lesions.config.base import Location, ParameterGroup, Seed, as_list
from skin_lesions.core.text import printable


def check_filename_pattern(pattern: str | None) -> str | None:
    """Check a regular expression for file names, and return it.

    Raises:
        ValueError: It is not valid, or it has several groups and none is named ``key``.
    """
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{printable(pattern)} is not a valid regular expression: {error}"
        ) from None
    if compiled.groups > 1 and "key" not in compiled.groupindex:
        raise ValueError(
            f"{printable(pattern)} captures {compiled.groups} parts; name the key, as in "
            r"(?P<key>P\d+), or make the other groups non-capturing: (?:...)"
        )
    return pattern


class Kaggle(ParameterGroup):
    """A data set on Kaggle; ``version`` None selects the newest version."""

    dataset: str
    version: Annotated[int, Field(ge=1)] | None


class Demo(ParameterGroup):
    """Synthetic images."""

    seed: Seed


class DemoSource(Demo):
    """Synthetic images with metadata; ``missingness_leak`` adds the column diameter."""

    missingness_leak: bool


class FolderSource(ParameterGroup):
    """A folder of images, and any number of metadata tables (paths in ``metadata``)."""

    folder: Location | None
    follow_symlinks: bool
    metadata: tuple[Location, ...]
    metadata_key: str | None
    label_column: str | None
    filename_pattern: Annotated[str, Field(min_length=1)] | None

    @field_validator("metadata", mode="before")
    @classmethod
    def _to_tuple(cls, value: object) -> object:
        return () if value is None else as_list(value)

    @field_validator("filename_pattern")
    @classmethod
    def _check_key_group(cls, pattern: str | None) -> str | None:
        return check_filename_pattern(pattern)


class Source(FolderSource):
    """Origin of the images."""

    kind: Literal["demo", "folder", "kaggle"]
    demo: DemoSource
    kaggle: Kaggle
