"""Parameters of `audit`."""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from skin_lesions.config.base import Group, Seed, Share


class Audit(Group):
    """What is looked for, how findings are told, and which stop a run."""

    examples: Annotated[int, Field(ge=0)]
    example_pairs: Annotated[int, Field(ge=1, le=30)]
    probe_images: Annotated[int, Field(ge=20)]
    bootstrap_replicates: Annotated[int, Field(ge=100)]
    seed: Seed
    widest_interval: Share
    fail_on: Literal["never", "high", "medium", "low"]
