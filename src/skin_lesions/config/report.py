"""Parameters of `report`."""

from typing import Annotated

from pydantic import Field

from skin_lesions.config.base import ParameterGroup


class Report(ParameterGroup):
    """Content of the report."""

    samples_per_class: Annotated[int, Field(ge=1, le=20)]
    show_images: bool
    comparison: str | None
