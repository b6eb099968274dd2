"""Parameters of `export`."""

from typing import Annotated

from pydantic import Field

from skin_lesions.config.base import ParameterGroup


class Export(ParameterGroup):
    """Comparison of the exported network with the original one, and the localizer.

    Attributes:
        localizer: ``auto``, a version or a path of the localizer in the bundle; None: no localizer.
    """

    compared_images: Annotated[int, Field(ge=1, le=10_000)]
    max_probability_difference: Annotated[float, Field(gt=0, le=0.01)]
    max_unknown_score_difference: Annotated[float, Field(gt=0, le=0.1)]
    localizer: Annotated[str, Field(min_length=1)] | None
