"""Base class and types of all parameter groups."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
)

from skin_lesions.core.locations import redact

Fraction = Annotated[float, Field(ge=0, le=1)]
PixelSize = Annotated[int, Field(ge=16, le=1024)]  # pixels
Device = Literal["auto", "cpu", "cuda", "mps"]
# A path or a URL; its serialized form is the redacted one, which results may store.
Location = Annotated[str, PlainSerializer(redact, return_type=str)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class ParameterGroup(BaseModel):
    """A group of parameters: unknown keys are rejected, values are immutable."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _reject_bool_as_number(cls, value: object, info: ValidationInfo[None]) -> object:
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and annotation is not bool:
            # pydantic would convert True to 1
            raise ValueError(f"must not be true or false, got {value}")
        return value


def as_list(value: object) -> object:
    """Convert a list in any form that a parameter can have; pydantic checks the items.

    ``--params names.0=a,names.1=b`` gives a dict with the numbers as keys.

    >>> as_list("a"), as_list(["a", "b"]), as_list({"1": "b", "0": "a"})
    (['a'], ['a', 'b'], ['a', 'b'])
    """
    if isinstance(value, Mapping) and all(str(number).isdecimal() for number in value):
        return [value[number] for number in sorted(value, key=int)]
    return value if isinstance(value, list | tuple) else [value]


def flatten(values: Mapping[str, object]) -> dict[str, object]:
    """Name each value by its path through the groups.

    >>> flatten({"optimizer": {"name": "adam"}, "epochs": 5})
    {'optimizer.name': 'adam', 'epochs': 5}
    """
    flat: dict[str, object] = {}
    for name, value in values.items():
        parts = flatten(value) if isinstance(value, Mapping) else {"": value}
        flat |= {f"{name}.{part}" if part else name: inner for part, inner in parts.items()}
    return flat
