"""The parameter groups of ``conf/*/parameters``, typed, checked and frozen.

No defaults stand here: each number has one home, in ``conf/base/parameters``. A misspelt key, a wrong
type or a value out of range stops a run before its first node.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from skin_lesions.errors import InputError

Share = Annotated[float, Field(ge=0, le=1)]
Device = Literal["auto", "cpu", "cuda", "mps"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Group(BaseModel):
    """A parameter group: unknown keys are refused, values don't change."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False
    )


class Kaggle(Group):
    """A data set on Kaggle; ``version`` None means the newest."""

    dataset: str
    version: Annotated[int, Field(ge=1)] | None


class Source(Group):
    """Where the images come from."""

    kind: Literal["demo", "folder", "kaggle"]
    folder: str | None
    metadata: str | None
    metadata_key: str | None
    label_column: str | None
    demo_seed: Seed
    kaggle: Kaggle


class Ingest(Group):
    """How images are checked and decoded."""

    pixel_size: Annotated[int, Field(ge=16, le=1024)]
    max_unreadable_share: Share


class Audit(Group):
    """How findings are told."""

    examples: Annotated[int, Field(ge=0)]


class Shares(Group):
    """The share of the images of each class that each split gets."""

    train: Annotated[float, Field(gt=0, lt=1)]
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Shares":
        total = self.train + self.val + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"train, val and test must sum to 1, they sum to {total:g}")
        return self


class Split(Group):
    """How images are divided into train, val and test."""

    policy: Literal["grouped", "as_shipped"]
    shares: Shares
    seed: Seed


class Preprocess(Group):
    """How a picture becomes a square: ``squash`` ignores its aspect, ``crop`` takes the centre."""

    fit: Literal["squash", "crop"]


class TrainRecipe(Group):
    """Everything that shapes the weights, besides the images."""

    architecture: str
    weights: str
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    image_size: Annotated[int, Field(ge=16, le=1024)]
    optimizer: Literal["adamw", "adam"]
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["cosine", "constant"]
    warmup_share: Annotated[float, Field(ge=0, lt=1)]
    augmentation: Literal["flips_and_turns", "none"]
    select_by: Literal["balanced_accuracy", "accuracy"]
    memory_format: Literal["channels_last", "contiguous"]
    mixed_precision: bool
    device: Device
    seed: Seed


class Evaluate(Group):
    """How images are predicted, and numbers get their intervals."""

    bootstrap_replicates: Annotated[int, Field(ge=100)]
    seed: Seed
    batch_size: Annotated[int, Field(ge=1)]
    device: Device


class Report(Group):
    """How the report is drawn."""

    samples_per_class: Annotated[int, Field(ge=1, le=20)]


GROUPS: dict[str, type[Group]] = {
    "source": Source,
    "ingest": Ingest,
    "audit": Audit,
    "split": Split,
    "preprocess": Preprocess,
    "train": TrainRecipe,
    "evaluate": Evaluate,
    "report": Report,
}
UNTYPED = {"data_root"}  # read by the catalog, not by a node


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Check every group, whichever pipeline runs.

    Raises:
        InputError: Lists all that is unknown, missing, of the wrong type or out of range.
    """
    unknown = sorted(set(parameters) - set(GROUPS) - UNTYPED)
    problems = [f"{name}: no such group; there are {', '.join(GROUPS)}" for name in unknown]
    for name, model in GROUPS.items():
        try:
            model.model_validate(parameters.get(name, {}))
        except ValidationError as error:
            problems += [_in_words(name, model, e) for e in error.errors()]
    if not problems:
        problems = _contradictions(parameters)
    if problems:
        raise InputError(
            "These parameters can't be used:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nconf/base/parameters shows each one with its default."
        )


def _contradictions(parameters: Mapping[str, Any]) -> list[str]:
    wanted, stored = parameters["train"]["image_size"], parameters["ingest"]["pixel_size"]
    if wanted <= stored:
        return []
    return [
        f"train.image_size: {wanted} pixels can't be had from images stored at "
        f"{stored}; set ingest.pixel_size to {wanted} or more"
    ]


def _in_words(group: str, model: type[Group], error: Any) -> str:
    path = ".".join(str(part) for part in (group, *error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{path}: no such parameter; {group} has {', '.join(model.model_fields)}"
    if error["type"] == "missing":
        return f"{path}: is missing"
    return f"{path}: {error['msg']}, got {error['input']!r}"
