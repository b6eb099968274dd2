"""Parameters of `train`: the training recipe."""

from typing import Annotated, Literal

from pydantic import Field

from skin_lesions.config.base import Device, Fraction, Location, ParameterGroup, PixelSize, Seed

Fusion = Literal["none", "late", "concat"]
ClassBalance = Literal["none", "weights", "square_root_sampler", "logit_adjustment"]
DecisionParameter = Literal["auto", "balanced", "frequency"]


class Optimizer(ParameterGroup):
    """Optimizer; ``learning_rate`` applies to the last layers below the head."""

    name: Literal["adamw", "adam"]
    learning_rate: Annotated[float, Field(gt=0)]
    head_lr_multiplier: Annotated[float, Field(gt=0)]
    layerwise_lr_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    max_grad_norm: Annotated[float, Field(gt=0)] | None


class Schedule(ParameterGroup):
    """Learning rate schedule."""

    name: Literal["cosine", "one_cycle", "constant"]
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)]


class Augmentation(ParameterGroup):
    """Random augmentation of the training images; see ``skin_lesions.training.augmentation``."""

    flips: bool
    rotation: Literal["none", "quarter", "any"]
    min_crop_area: Annotated[float, Field(gt=0, le=1)]
    max_crop_aspect_ratio: Annotated[float, Field(ge=1)]
    brightness: Fraction
    contrast: Fraction
    saturation: Fraction
    hue: Annotated[float, Field(ge=0, le=0.5)]
    random_erasing_prob: Fraction
    mixup_alpha: Annotated[float, Field(ge=0)]
    cutmix_alpha: Annotated[float, Field(ge=0)]


class UnknownScore(ParameterGroup):
    """Unknown score; see ``skin_lesions.models.postprocessing.unknown_score``."""

    method: Literal["mahalanobis", "nearest_neighbors", "energy"]
    flagged_fraction: Annotated[float, Field(ge=0, lt=1)]


class Ray(ParameterGroup):
    """Ray cluster of ``train.launcher: ray``."""

    address: Location | None


class TrainRecipe(ParameterGroup):
    """All settings that determine the weights, apart from the images, and those of the process."""

    architecture: str
    weights: Annotated[Location, Field(min_length=1)]
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    allow_leaky_weights: bool
    seed: Seed
    epochs: Annotated[int, Field(ge=1)]
    early_stopping_patience: Annotated[int, Field(ge=1)] | None
    selection_metric: Literal["balanced_accuracy", "accuracy"]
    batch_size: Annotated[int, Field(ge=2)]  # batch statistics require two images
    gradient_accumulation_steps: Annotated[int, Field(ge=1)]
    image_size: PixelSize
    progressive_resizing_start: Annotated[float, Field(gt=0, le=1)]
    eval_size_ratio: Annotated[float, Field(ge=1)]
    frozen_backbone_epochs: Annotated[int, Field(ge=0)]
    optimizer: Optimizer
    schedule: Schedule
    augmentation: Augmentation
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    class_balance: ClassBalance
    decision: DecisionParameter
    fusion: Fusion
    metadata_dropout: Annotated[float, Field(ge=0, lt=1)]
    conformal_coverage: Annotated[float, Field(gt=0, lt=1)]
    referral_accuracy: Annotated[float, Field(gt=0, lt=1)]
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None
    test_time_augmentation: Literal["none", "flips", "flips_and_rotations"]
    unknown_score: UnknownScore
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    memory_format: Literal["channels_last", "contiguous"]
    compile: bool
    device: Device
    launcher: Literal["single", "local", "ray"]
    num_processes: Annotated[int, Field(ge=1)] | None
    ray: Ray
    keep_freed_memory: bool
    checkpoint_interval_minutes: Annotated[float, Field(gt=0)]

    @property
    def pretrained(self) -> bool:
        """Whether the layers below the head start from pretrained weights."""
        return self.weights != "none"

    @property
    def initial_image_size(self) -> int:
        """Width of the images in the first epoch, in pixels."""
        return _scaled(self.image_size, self.progressive_resizing_start)

    @property
    def eval_image_size(self) -> int:
        """Width of the images in validation and testing, in pixels."""
        return _scaled(self.image_size, self.eval_size_ratio)


def _scaled(size: int, scale: float) -> int:
    """Scale a size to a multiple of 16 pixels: networks halve an image four or five times."""
    return size if scale == 1 else max(16, round(size * scale / 16) * 16)
