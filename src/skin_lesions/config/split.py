"""Parameters of `split`."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from skin_lesions.config.base import ParameterGroup, Seed


class SplitFractions(ParameterGroup):
    """Fraction of the images of each class in each split."""

    train: Annotated[float, Field(gt=0, lt=1)]
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _sum_to_one(self) -> "SplitFractions":
        total = self.train + self.val + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"train, val and test must sum to 1, got a sum of {total:g}")
        return self


class Split(ParameterGroup):
    """Assignment of the images to train, val and test."""

    policy: Literal["grouped", "cleaned", "original"]
    fractions: SplitFractions
    seed: Seed
    exclude_uncertain_links: bool
