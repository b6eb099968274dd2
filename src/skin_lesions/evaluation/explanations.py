"""Grad-CAM maps of selected test images, and their comparison with maps of random weights."""

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import nn

from skin_lesions.config.evaluate import Evaluate
from skin_lesions.data.loader import ImageDataset, sequential_batches
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing import normalize_batch
from skin_lesions.evaluation.explained_images import ExplainedImages, without_maps
from skin_lesions.models.devices import choose_device, limit_threads
from skin_lesions.models.grad_cam import (
    MapUnavailableError,
    border_fractions,
    find_map_layer,
    grad_cam,
)
from skin_lesions.models.inference import load_network, model_images
from skin_lesions.models.map_layers import MapLayer
from skin_lesions.models.networks import build_network
from skin_lesions.models.trained_model import TrainedModel


def explain_images(
    model: TrainedModel, pixels: PixelStore, rows: pd.DataFrame, evaluate: Evaluate
) -> ExplainedImages:
    """Compute the Grad-CAM map of the predicted class of each image, without augmentation.

    Args:
        model: The trained model.
        pixels: Decoded images.
        rows: Selected images, from ``explained_images.select_images``.
        evaluate: ``explain.border_width`` defines the border, ``seed`` the random weights.

    Returns:
        The images with their maps. Without images, or if the network has no maps, there is only the
        reason.
    """
    if rows.empty:
        return without_maps(rows, "there are no test images")
    device = choose_device(evaluate.device)
    limit_threads()
    network = load_network(model).to(device).eval()
    try:
        layer = find_map_layer(network, model.preprocessing.image_size)
    except MapUnavailableError as error:
        return without_maps(rows, f"{model.architecture}: {error}")
    # The loader returns the class of each map: the predicted class instead of the label.
    predicted = rows.assign(label=rows["predicted"])
    images = model_images(model, pixels, predicted, evaluate.batch_size, device)
    maps = _maps(network, layer, images, evaluate.batch_size, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(evaluate.seed)
        untrained = build_network(model.architecture, len(model.classes)).to(device).eval()
    random_maps = _maps(untrained, layer, images, evaluate.batch_size, device)
    frame = rows.assign(
        border_fraction=border_fractions(maps, evaluate.explain.border_width).numpy(),
        similarity=rank_correlations(maps.numpy(), random_maps.numpy()),
    )
    return ExplainedImages(frame=frame, maps=maps.numpy(), layer=layer.name)


def _maps(
    network: nn.Module,
    layer: MapLayer,
    images: ImageDataset,
    batch_size: int,
    device: torch.device,
) -> torch.Tensor:
    """Return the map of each image for its class in the dataset, (n, h, w) on the CPU."""
    batches = images.iter_batches(sequential_batches(len(images), batch_size), device)
    return torch.cat(
        [
            grad_cam(network, layer, normalize_batch(x, images.preprocessing), classes).cpu()
            for x, classes in batches
        ]
    )


def rank_correlations(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of each pair of maps, (n,); NaN for constant maps.

    Args:
        maps: (n, h, w).
        others: (n, h, w).
    """
    # Ranks from which their mean is subtracted, (n, positions); ties have their mean rank.
    ranks_a, ranks_b = (rankdata(x.reshape(len(x), -1), axis=1) for x in (maps, others))
    ranks_a -= ranks_a.mean(axis=1, keepdims=True)
    ranks_b -= ranks_b.mean(axis=1, keepdims=True)
    scale = np.sqrt((ranks_a**2).sum(axis=1) * (ranks_b**2).sum(axis=1))
    products = (ranks_a * ranks_b).sum(axis=1)
    return np.divide(products, scale, out=np.full(len(maps), np.nan), where=scale > 0)
