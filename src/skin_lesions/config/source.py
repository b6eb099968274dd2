"""Parameters of `source`: the origin of the images."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from skin_lesions.config.base import Location, ParameterGroup, Seed
from skin_lesions.core.text import printable


class Kaggle(ParameterGroup):
    """A data set on Kaggle; ``version`` None selects the newest version."""

    dataset: str
    version: Annotated[int, Field(ge=1)] | None


class Demo(ParameterGroup):
    """Synthetic images."""

    seed: Seed


class Source(ParameterGroup):
    """Origin of the images; ``metadata`` holds the paths of any number of tables."""

    kind: Literal["demo", "folder", "kaggle"]
    folder: Location | None
    follow_symlinks: bool
    metadata: tuple[Location, ...]
    metadata_key: str | None
    label_column: str | None
    filename_pattern: Annotated[str, Field(min_length=1)] | None
    demo: Demo
    kaggle: Kaggle

    @field_validator("metadata", mode="before")
    @classmethod
    def _to_tuple(cls, value: object) -> object:
        """Convert a path, a list or a dict to a tuple of paths.

        ``--params metadata.0=...,metadata.1=...`` gives a dict with the numbers as keys.
        """
        if isinstance(value, dict) and all(str(number).isdecimal() for number in value):
            return [value[number] for number in sorted(value, key=int)]
        if value is None:
            return ()
        return value if isinstance(value, list | tuple) else (value,)

    @field_validator("filename_pattern")
    @classmethod
    def _check_key_group(cls, pattern: str | None) -> str | None:
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
