"""Parameters of `report`."""

from typing import Annotated

from pydantic import Field

from skin_lesions.config.base import ParameterGroup


class Report(ParameterGroup):
    """Content of the report.

    Attributes:
        samples_per_class: Maximum number of sample images of each class.
        show_images: Whether the report and the figures may contain images of patients.
    """

    samples_per_class: Annotated[int, Field(ge=1, le=20)]
    show_images: bool
    comparison: str | None
