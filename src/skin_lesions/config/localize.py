"""Parameters of `localize`: boxes and masks of lesions."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from skin_lesions.config.base import Device, Location, ParameterGroup, PixelSize, Seed
from skin_lesions.config.source import check_filename_pattern

LocalizationMethod = Literal["dense", "cam", "mean_box", "whole_image"]


class Decoder(ParameterGroup):
    """Training of decoder and network; see ``skin_lesions.models.localization.dense``."""

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: Annotated[float, Field(gt=0)]
    network_learning_rate: Annotated[float, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    views: Annotated[int, Field(ge=1)]


class Localize(ParameterGroup):
    """Images with annotated lesions, and the localizer that is fitted to them.

    Attributes:
        annotations: Folder of masks, YOLO or Pascal VOC files, or a COCO file or CSV table. None:
            the exact masks of synthetic images.
        images: Folder of images without labels; None: the images of the split table.
        filename_pattern: As ``source.filename_pattern``, for ``images``.
        follow_symlinks: Whether to follow links that lead out of ``images``.
        method: Method of the localizer.
        evaluation: ``folds`` (cross-validation by groups), ``split`` (fit on train and val, test on
            test), or ``auto``: ``folds`` for ``images``, otherwise ``split``.
        folds: Number of folds.
        image_size: Width and height of the input, pixels.
        decoder: Training of the decoder (``dense``).
        seed: Seed of the folds and of the decoder.
        batch_size: Images per batch of the inference.
        device: Device of the computation.
        min_images: Smallest number of images of a source with its own results.
        worst_images: Number of images in the figure of the lowest IoU.
    """

    annotations: Location | None
    images: Location | None
    filename_pattern: Annotated[str, Field(min_length=1)] | None
    follow_symlinks: bool
    method: LocalizationMethod
    evaluation: Literal["auto", "folds", "split"]
    folds: Annotated[int, Field(ge=2)]
    image_size: PixelSize
    decoder: Decoder
    seed: Seed
    batch_size: Annotated[int, Field(ge=1)]
    device: Device
    min_images: Annotated[int, Field(ge=1)]
    worst_images: Annotated[int, Field(ge=1, le=12)]

    @field_validator("filename_pattern")
    @classmethod
    def _check_key_group(cls, pattern: str | None) -> str | None:
        return check_filename_pattern(pattern)
