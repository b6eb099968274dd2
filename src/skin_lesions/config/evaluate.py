"""Parameters of `evaluate`."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from skin_lesions.config.base import Device, ParameterGroup, Seed

# Fractions that are neither 0 nor 1.
InnerFraction = Annotated[float, Field(gt=0, lt=1)]


class Slices(ParameterGroup):
    """Results of subgroups."""

    columns: tuple[str, ...] | None
    min_images: Annotated[int, Field(ge=2)]
    age_bands: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    max_values: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _check_age_bands(self) -> Self:
        if any(low >= high for low, high in pairwise(self.age_bands)):
            raise ValueError(f"age_bands must increase, got {list(self.age_bands)}")
        return self


Corruption = Literal[
    "blur", "noise", "jpeg", "brightness", "contrast", "color_cast", "hair", "ruler"
]


class Robustness(ParameterGroup):
    """Prediction of the test images after corruptions."""

    enabled: bool
    corruptions: Annotated[tuple[Corruption, ...], Field(min_length=1)]


class LabelIssues(ParameterGroup):
    """List of suspected label errors."""

    max_rows: Annotated[int, Field(ge=1)]


class Explain(ParameterGroup):
    """Explanations with Grad-CAM."""

    enabled: bool
    images_per_class: Annotated[int, Field(ge=1)]
    border_width: Annotated[float, Field(gt=0, lt=0.5)]


class Evaluate(ParameterGroup):
    """Prediction and metrics."""

    seed: Seed
    batch_size: Annotated[int, Field(ge=1)]
    device: Device
    malignant_classes: Annotated[tuple[str, ...], Field(min_length=1)] | None
    operating_points: Annotated[tuple[InnerFraction, ...], Field(min_length=1)]
    prevalences: Annotated[tuple[InnerFraction, ...], Field(min_length=1)]
    max_threshold_probability: Annotated[float, Field(ge=0.01, le=0.99)]
    slices: Slices
    robustness: Robustness
    label_issues: LabelIssues
    explain: Explain
