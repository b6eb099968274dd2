"""Parameters of `evaluate`."""

from typing import Annotated, Literal

from pydantic import Field

from skin_lesions.config.base import Device, ParameterGroup, Seed

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


class Evaluate(ParameterGroup):
    """Prediction and metrics."""

    seed: Seed
    batch_size: Annotated[int, Field(ge=1)]
    device: Device
    robustness: Robustness
    label_issues: LabelIssues
