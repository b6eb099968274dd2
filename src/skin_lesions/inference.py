"""Network and images -> logits."""

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skin_lesions.batches import LabelledImages
from skin_lesions.preprocessing import normalised


def autocast(device: torch.device, mixed_precision: bool) -> AbstractContextManager[object]:
    """Compute in half precision where the device is faster with it and it was asked for."""
    if device.type != "cuda" or not mixed_precision:
        return nullcontext()
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.autocast("cuda", dtype=dtype)


@torch.inference_mode()
def predict_logits(
    network: nn.Module,
    images: LabelledImages,
    batch_size: int,
    device: torch.device,
    mixed_precision: bool = False,
) -> npt.NDArray[np.float64]:
    """Run the network over all images, in their order.

    Returns:
        (n, classes) float64 logits.
    """
    network.eval()
    logits = []
    for batch, _ in images.in_order(batch_size):
        inputs = normalised(batch.to(device), images.preprocessing)
        with autocast(device, mixed_precision):
            logits.append(network(inputs).float())
    return torch.cat(logits).cpu().numpy().astype(np.float64)
