"""Parameters of `evaluate`."""

from typing import Annotated

from pydantic import Field

from skin_lesions.config.base import Device, ParameterGroup, Seed


class Evaluate(ParameterGroup):
    """Prediction and metrics."""

    seed: Seed
    batch_size: Annotated[int, Field(ge=1)]
    device: Device
