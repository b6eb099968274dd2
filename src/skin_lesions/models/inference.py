"""Inference: logits of a network for images, with optional test-time augmentation."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import ImageDataset, build_dataset, sequential_batches
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing import normalize_batch
from skin_lesions.models.devices import choose_device, device_label, limit_threads
from skin_lesions.models.networks import build_network
from skin_lesions.models.precision import autocast
from skin_lesions.models.trained_model import TestTimeAugmentation, UncalibratedModel


@torch.inference_mode()
def predict_logits(
    network: nn.Module,
    images: ImageDataset,
    batch_size: int,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    tta: TestTimeAugmentation = "none",
) -> npt.NDArray[np.float64]:
    """Run the network on all images, in the order of the dataset.

    Args:
        network: Network on ``device``.
        images: Images to predict.
        batch_size: Number of images per batch.
        device: Device of the computation.
        precision: Data type of most computations.
        tta: Test-time augmentation: the flips and rotations of an image whose logits are averaged.

    Returns:
        (n, classes) float64 logits; with test-time augmentation, their mean.

    Raises:
        InputError: The memory of the GPU is too small.
    """
    network.eval()
    logits = []
    try:
        for batch, _ in images.iter_batches(sequential_batches(len(images), batch_size), device):
            inputs = normalize_batch(batch, images.preprocessing)
            with autocast(device, precision):
                augmented = [network(x).float() for x in _augmented_inputs(inputs, tta)]
            # (augmentations, batch, classes) -> (batch, classes)
            logits.append(torch.stack(augmented).mean(dim=0))
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"Out of memory on {device_label(device)}: {batch_size} images of "
            f"{images.preprocessing.image_size} pixels at once. Lower evaluate.batch_size, or "
            "train.batch_size (validation during training uses twice its value)"
        ) from None
    return torch.cat(logits).cpu().numpy().astype(np.float64)


def _augmented_inputs(inputs: torch.Tensor, tta: TestTimeAugmentation) -> list[torch.Tensor]:
    """Return the inputs (b, 3, h, w) in 1, 4 (flips) or 8 (flips and rotations) poses."""
    if tta == "none":
        return [inputs]
    # Quarter turns. A rotation by 180 degrees equals a horizontal and a vertical flip.
    turns = range(4) if tta == "flips_and_rotations" else (0, 2)
    rotated = [torch.rot90(inputs, turn, dims=(2, 3)) for turn in turns]
    return [*rotated, *(x.flip(3) for x in rotated)]


def model_logits(
    model: UncalibratedModel,
    pixels: PixelStore,
    rows: pd.DataFrame,
    batch_size: int,
    device: str,
    transform: Callable[[ImageDataset], ImageDataset] | None = None,
) -> npt.NDArray[np.float64]:
    """Return the logits of the rows of a table, (rows, classes), before calibration.

    ``transform`` returns the dataset with other images, such as corrupted ones.
    """
    stored = pixels.at(model.preprocessing.stored_image_size)
    images = build_dataset(rows, model.classes, stored, model.preprocessing)
    if transform is not None:
        images = transform(images)
    chosen = choose_device(device)
    limit_threads()
    network = load_network(model).to(chosen).to(memory_format=torch.channels_last)
    return predict_logits(network, images, batch_size, chosen, tta=model.test_time_augmentation)


def load_network(model: UncalibratedModel) -> nn.Module:
    """Build the network of a model and load its weights.

    Raises:
        InputError: The weights do not match the architecture.
    """
    network = build_network(model.architecture, len(model.classes))
    try:
        network.load_state_dict(model.state_dict)
    except RuntimeError as error:
        # The first line of the message names only the class of the network.
        detail = str(error).splitlines()[-1].strip()
        raise InputError(
            f"The weights of the model do not match {model.architecture}: {detail}"
        ) from None
    return network
