"""Origin of the initial weights of a training. Importing it does not import torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class WeightsLeakage:
    """Current images that the initial weights were trained or selected on.

    An image counts if it was used itself, or if another image of its group was used.

    Attributes:
        test_images: Number of leaked test images.
        val_images: Number of leaked validation images.
    """

    test_images: int
    val_images: int


@dataclass(frozen=True, kw_only=True)
class WeightsOrigin:
    """Where the initial weights come from; saved in the model file.

    Attributes:
        weights: Parameter ``train.weights``: the name of a file, or a URL without secrets.
        file: Name of the weights file. None for random weights.
        sha256: SHA-256 hash of the file, 64 hexadecimal digits.
        head: Whether the head was loaded from the file or has new random weights.
        train_image_ids: image_id of each image on which the weights were trained, also by the
            models before, sorted. Empty if the file is not a model of this project.
        val_image_ids: The same for the validation images.
        leakage: Leakage of these images into the current test and validation images, which
            ``train.allow_leaky_weights`` allowed. None if there is none.
    """

    weights: str
    file: str | None = None
    sha256: str | None = None
    head: Literal["loaded", "new"] | None = None
    train_image_ids: tuple[str, ...] = ()
    val_image_ids: tuple[str, ...] = ()
    leakage: WeightsLeakage | None = None
