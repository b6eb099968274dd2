"""Parameters of `split`."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from skin_lesions.config.base import ParameterGroup, Seed, as_list


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
    """Assignment of the images to train, val and test.

    ``column`` and ``test_values`` belong to the policy ``by_column``: the test images are those
    with one of these values in this column of the image table.
    """

    policy: Literal["grouped", "cleaned", "original", "by_column"]
    column: str | None
    test_values: tuple[str, ...] | None
    fractions: SplitFractions
    seed: Seed
    exclude_uncertain_links: bool

    @field_validator("test_values", mode="before")
    @classmethod
    def _to_list(cls, value: object) -> object:
        return None if value is None else as_list(value)

    @model_validator(mode="after")
    def _check_column(self) -> Self:
        given = {"column": self.column, "test_values": self.test_values}
        if self.policy == "by_column":
            missing = [name for name, value in given.items() if not value]
            if missing:
                raise ValueError(
                    f"policy by_column requires {missing[0]}, for example "
                    "split.column=source and split.test_values=[hospital_b]"
                )
        else:
            unused = [name for name, value in given.items() if value is not None]
            if unused:
                raise ValueError(
                    f"{unused[0]} is set, but policy {self.policy} does not use it; set "
                    "split.policy=by_column"
                )
        return self
