"""Parameters of `train`: the training recipe."""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from skin_lesions.config.base import Device, Edge, Group, Seed, Share


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
