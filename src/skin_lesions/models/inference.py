"""Network and images -> logits."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import ImageDataset, build_dataset, sequential_batches
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing import Preprocessing, normalize_batch
from skin_lesions.models.devices import choose_device, configure_backend, device_label
from skin_lesions.models.model_file import load_network
from skin_lesions.models.precision import autocast

TestTimeAugmentation = Literal["none", "flips", "flips_and_rotations"]


@torch.inference_mode()
def predict_logits(
    network: nn.Module,
    images: ImageDataset,
    batch_size: int,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    tta: TestTimeAugmentation = "none",
) -> npt.NDArray[np.float64]:
    """Run the network over all images, in their order.

    Args:
        network: On the device.
        images: What is predicted.
        batch_size: Images at a time.
        device: Where it computes.
        precision: Of most of the computing.
        tta: Which mirrored and turned views of an image are averaged.

    Returns:
        (n, classes) float64 logits; of several views, the mean.

    Raises:
        InputError: The memory of the GPU is too small.
    """
    network.eval()
    logits = []
    try:
        for batch, _ in images.iter_batches(sequential_batches(len(images), batch_size), device):
            inputs = normalize_batch(batch, images.preprocessing)
            with autocast(device, precision):
                seen = [network(view).float() for view in _augmented_inputs(inputs, tta)]
            logits.append(torch.stack(seen).mean(dim=0))
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"the memory of {device_label(device)} is too small to predict {batch_size} images of "
            f"{images.preprocessing.image_size} pixels at once: lower train.batch_size, of which "
            "training predicts twice as many, or evaluate.batch_size"
        ) from None
    return torch.cat(logits).cpu().numpy().astype(np.float64)


def _augmented_inputs(inputs: torch.Tensor, tta: TestTimeAugmentation) -> list[torch.Tensor]:
    if tta == "none":
        return [inputs]
    turns = (
        range(4) if tta == "flips_and_rotations" else (0, 2)
    )  # half a turn is both flips at once
    turned = [torch.rot90(inputs, turn, dims=(2, 3)) for turn in turns]
    return [*turned, *(view.flip(3) for view in turned)]


def model_logits(
    model: dict[str, Any], pixels: PixelStore, rows: pd.DataFrame, batch_size: int, device: str
) -> Any:
    """Return the logits of the rows of a table, shape (rows, classes), before calibration."""
    preprocessing = Preprocessing.from_model(model["preprocessing"])
    images = build_dataset(
        rows, model["classes"], pixels.at(preprocessing.stored_image_size), preprocessing
    )
    chosen = choose_device(device)
    configure_backend(chosen)
    network = load_network(model).to(chosen).to(memory_format=torch.channels_last)
    tta = model["test_time_augmentation"]
    return predict_logits(network, images, batch_size, chosen, tta=tta)
