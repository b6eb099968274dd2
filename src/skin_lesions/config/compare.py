"""Parameters of `compare`."""

from typing import Annotated

from pydantic import Field

from skin_lesions.config.base import ParameterGroup


class Compare(ParameterGroup):
    """Selection and presentation of two sets of predictions."""

    baseline: str | None
    candidate: str | None
    paired: bool
    max_examples: Annotated[int, Field(ge=0, le=500)]
