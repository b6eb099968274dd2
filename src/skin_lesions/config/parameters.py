"""The parameter groups of ``conf/*/parameters``, typed, checked and frozen.

No defaults stand here: each number has one home, in ``conf/base/parameters``. A misspelt key, a wrong
type or a value out of range stops a run before its first node.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from skin_lesions.core.errors import InputError, did_you_mean, shown

Share = Annotated[float, Field(ge=0, le=1)]
Edge = Annotated[int, Field(ge=16, le=1024)]  # pixels
Device = Literal["auto", "cpu", "cuda", "mps"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Group(BaseModel):
    """A parameter group: unknown keys are refused, values don't change."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        if (
            isinstance(value, bool)
            and cls.model_fields[str(info.field_name)].annotation is not bool
        ):
            raise ValueError(f"can't be true or false, got {value}")  # pydantic takes True for 1
        return value


class Kaggle(Group):
    """A data set on Kaggle; ``version`` None means the newest."""

    dataset: str
    version: Annotated[int, Field(ge=1)] | None


class Source(Group):
    """Where the images come from; ``metadata``: the paths of any number of tables."""

    kind: Literal["demo", "folder", "kaggle"]
    folder: str | None
    metadata: tuple[str, ...]
    metadata_key: str | None
    label_column: str | None
    name_pattern: Annotated[str, Field(min_length=1)] | None
    demo_seed: Seed
    kaggle: Kaggle

    @field_validator("metadata", mode="before")
    @classmethod
    def _as_several(cls, value: Any) -> Any:
        """Take a path, a list, or what ``--params`` makes of ``metadata.0=...,metadata.1=...``."""
        if isinstance(value, dict) and all(str(number).isdecimal() for number in value):
            return [value[number] for number in sorted(value, key=int)]
        if value is None:
            return ()
        return value if isinstance(value, list | tuple) else (value,)

    @field_validator("name_pattern")
    @classmethod
    def _says_which_part_is_the_key(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{shown(pattern)} is no regular expression: {error}") from None
        if compiled.groups > 1 and "key" not in compiled.groupindex:
            raise ValueError(
                f"{shown(pattern)} captures {compiled.groups} parts; name the one that is the key, as in "
                r"(?P<key>P\d+), or let the others capture nothing: (?:...)"
            )
        return pattern


class Ingest(Group):
    """How images are checked and decoded."""

    pixel_size: Edge
    max_unreadable_share: Share


class Audit(Group):
    """What is looked for, how findings are told, and which stop a run."""

    examples: Annotated[int, Field(ge=0)]
    example_pairs: Annotated[int, Field(ge=1, le=30)]
    probe_images: Annotated[int, Field(ge=20)]
    bootstrap_replicates: Annotated[int, Field(ge=100)]
    seed: Seed
    widest_interval: Share
    fail_on: Literal["never", "high", "medium", "low"]


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

    policy: Literal["grouped", "repaired", "as_shipped"]
    shares: Shares
    seed: Seed


class Preprocess(Group):
    """How a picture becomes a square: ``squash`` ignores its aspect, ``crop`` takes the centre."""

    fit: Literal["squash", "crop"]


class Optimizer(Group):
    """How weights follow gradients; rates are those of the uppermost layers below the head."""

    name: Literal["adamw", "adam"]
    learning_rate: Annotated[float, Field(gt=0)]
    head_factor: Annotated[float, Field(gt=0)]
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(gt=0)] | None


class Schedule(Group):
    """How the learning rate goes from step to step."""

    name: Literal["cosine", "one_cycle", "constant"]
    warmup_share: Annotated[float, Field(ge=0, lt=1)]


class Augmentation(Group):
    """Random changes of the training images; see ``skin_lesions.training.augmentation``."""

    flips: bool
    rotation: Literal["none", "quarter", "any"]
    crop_area: Annotated[float, Field(gt=0, le=1)]
    crop_aspect: Annotated[float, Field(ge=1)]
    brightness: Share
    contrast: Share
    saturation: Share
    hue: Annotated[float, Field(ge=0, le=0.5)]
    erasing: Share
    mixup: Annotated[float, Field(ge=0)]
    cutmix: Annotated[float, Field(ge=0)]


class Ray(Group):
    """Where the workers of ``train.launcher: ray`` come from."""

    address: str | None


class TrainRecipe(Group):
    """Everything that shapes the weights, besides the images; and how often they are kept."""

    architecture: str
    weights: Annotated[str, Field(min_length=1)]
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    seed: Seed
    epochs: Annotated[int, Field(ge=1)]
    patience: Annotated[int, Field(ge=1)] | None
    select_by: Literal["balanced_accuracy", "accuracy"]
    batch_size: Annotated[int, Field(ge=2)]  # one image alone has no batch statistics
    accumulation: Annotated[int, Field(ge=1)]
    image_size: Edge
    start_scale: Annotated[float, Field(gt=0, le=1)]
    test_scale: Annotated[float, Field(ge=1)]
    head_epochs: Annotated[int, Field(ge=0)]
    optimizer: Optimizer
    schedule: Schedule
    augmentation: Augmentation
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    class_balance: Literal["none", "weights", "square_root_sampler", "logit_adjustment"]
    average_decay: Annotated[float, Field(gt=0, lt=1)] | None
    test_time_augmentation: Literal["none", "flips", "flips_and_turns"]
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    memory_format: Literal["channels_last", "contiguous"]
    compile: bool
    device: Device
    launcher: Literal["single", "local", "ray"]
    processes: Annotated[int, Field(ge=1)] | None
    ray: Ray
    checkpoint_minutes: Annotated[float, Field(gt=0)]

    @property
    def pretrained(self) -> bool:
        """Whether the layers below the head have learned something before."""
        return self.weights != "none"

    @property
    def start_size(self) -> int:
        """Edge in the first epoch, pixels."""
        return _scaled(self.image_size, self.start_scale)

    @property
    def test_size(self) -> int:
        """Edge in validation and testing, pixels."""
        return _scaled(self.image_size, self.test_scale)


def _scaled(size: int, scale: float) -> int:
    """Scale an edge to a multiple of 16 pixels: networks halve an image four or five times."""
    return size if scale == 1 else max(16, round(size * scale / 16) * 16)


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


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Name each value by its way through the groups.

    >>> flattened({"optimizer": {"name": "adam"}, "epochs": 5})
    {'optimizer.name': 'adam', 'epochs': 5}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        parts = flattened(value) if isinstance(value, Mapping) else {"": value}
        flat |= {f"{name}.{part}" if part else name: inner for part, inner in parts.items()}
    return flat


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Check every group, whichever pipeline runs.

    Raises:
        InputError: Lists all that is unknown, missing, of the wrong type or out of range.
    """
    unknown = sorted({str(name) for name in parameters} - set(GROUPS) - UNTYPED)
    problems = [f"{name}: no such group; {did_you_mean(name, GROUPS)}" for name in unknown]
    groups: dict[str, Any] = {}
    for name, model in GROUPS.items():
        try:
            groups[name] = model.model_validate(parameters.get(name, {}))
        except ValidationError as error:
            problems += [_in_words(name, model, e) for e in error.errors()]
    if not problems:
        problems = _contradictions(groups["source"], groups["ingest"], groups["train"])
    if problems:
        raise InputError(
            "These parameters can't be used:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nconf/base/parameters shows each one with its default."
        )


def _contradictions(source: Source, ingest: Ingest, train: TrainRecipe) -> list[str]:
    problems = []
    if source.name_pattern is not None and source.kind == "demo":
        problems.append(
            "source.name_pattern: is given, but source.kind is demo, which does not read it"
        )
    if source.folder is not None and source.kind != "folder":
        problems.append(
            f"source.folder: is given, but source.kind is {source.kind}, which does not read it; "
            "set source.kind=folder (or take --env folder)"
        )
    if not source.metadata:
        for name in ("metadata_key", "label_column"):
            if getattr(source, name) is not None:
                problems.append(f"source.{name}: is a column of source.metadata, which is not set")
    if train.test_size > ingest.pixel_size:
        scaled = " (for testing, see train.test_scale)" if train.test_scale > 1 else ""
        problems.append(
            f"train.image_size: {train.test_size} pixels{scaled} can't be had from images stored at "
            f"{ingest.pixel_size}; set ingest.pixel_size to {train.test_size} or more"
        )
    return problems + _contradictions_of_training(train)


def _contradictions_of_training(train: TrainRecipe) -> list[str]:
    problems = []
    if train.accumulation > train.batch_size:
        problems.append(
            f"train.accumulation: a batch of {train.batch_size} can't be had in "
            f"{train.accumulation} parts"
        )
    if train.pretrained and train.head_epochs >= train.epochs:
        problems.append(
            f"train.head_epochs: of {train.epochs} epochs, {train.head_epochs} for the head alone "
            "leave none for the other layers; set it to "
            f"{train.epochs - 1} or less"
        )
    if train.launcher == "single" and (train.processes or 1) > 1:
        problems.append(
            f"train.processes: {train.processes} need train.launcher=local (or ray); single is one"
        )
    if train.weights == "none" and train.weights_sha256 is not None:
        problems.append(
            "train.weights_sha256: is given, but train.weights is none: nothing is read"
        )
    if train.weights.lower().startswith("http://") and train.weights_sha256 is None:
        problems.append(
            "train.weights: what comes by http:// can be changed on its way; take https://, or set "
            "train.weights_sha256"
        )
    return problems


def _in_words(group: str, model: type[Group], error: Any) -> str:
    path, field = ".".join([group, *map(str, error["loc"])]), [group, *error["loc"]][-1]
    if error["type"] == "extra_forbidden":
        fields = _group_at(model, error["loc"][:-1]).model_fields
        return f"{path}: no such parameter; {did_you_mean(str(field), fields)}"
    if error["type"] == "missing":
        return f"{path}: is missing"
    if error["type"] == "value_error":
        return f"{path}: {error['ctx']['error']}"
    expected = _EXPECTED.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
    return f"{path}: must be {expected}, got {error['input']!r}"


_EXPECTED = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "string_too_short": "a text",
    "string_pattern_mismatch": "64 digits from 0-9 and a-f",
    "model_type": "a group of parameters",
}


def _group_at(model: type[Group], path: Iterable[Any]) -> type[Group]:
    for name in path:
        model = cast("type[Group]", model.model_fields[name].annotation)
    return model
