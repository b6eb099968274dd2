"""Parameters of `audit`."""

from typing import Annotated, Literal

from pydantic import Field

from skin_lesions.config.base import Fraction, ParameterGroup, Seed


class Audit(ParameterGroup):
    """Sizes of the audit and its report, and the severity that stops a run."""

    max_examples: Annotated[int, Field(ge=0)]
    example_pairs_per_type: Annotated[int, Field(ge=1, le=30)]
    max_probe_images: Annotated[int, Field(ge=20)]
    bootstrap_replicates: Annotated[int, Field(ge=100)]
    seed: Seed
    max_interval_width: Fraction
    fail_on: Literal["never", "high", "medium", "low"]
