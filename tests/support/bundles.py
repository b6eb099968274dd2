"""A small model that can be exported, and its bundle."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.bundle_content import ModelBundle
from skin_lesions.deployment.bundle_writer import write_bundle
from skin_lesions.deployment.lesion_export import export_localizer
from skin_lesions.deployment.onnx_export import export_onnx
from skin_lesions.models.features import record_features
from skin_lesions.models.inference import load_network
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.networks import build_network, classifier_head
from skin_lesions.models.postprocessing.unknown_score import (
    UnknownMethod,
    UnknownScoreFit,
    fit_threshold,
    fit_unknown_statistics,
)
from skin_lesions.models.trained_model import TrainedModel
from support.models import trained_model
from support.postprocessing import postprocessing

VERSION = "2026-11-29T06.00.00.000Z"
CARD = f"---\nlicense: unknown\nmodel_version: {VERSION}\n---\n\n# Model card\n"


def exportable_model(
    architecture: str = "resnet18",
    *,
    size: int = 64,
    method: UnknownMethod = "mahalanobis",
    **changes: Any,
) -> TrainedModel:
    """Make a model of two classes; equal arguments give equal weights."""
    torch.manual_seed(0)
    network = build_network(architecture, 2).eval()
    _scale(network, size)
    values = {
        "architecture": architecture,
        "preprocessing": Preprocessing("stretch", 96, size),
        "test_time_augmentation": "flips",
        "state_dict": network.state_dict(),
        "postprocessing": postprocessing(
            (3, 1), unknown_score=_unknown_score(network, method, size)
        ),
    }
    return trained_model(**(values | changes)).with_version(VERSION)


def random_images(n: int, size: int, seed: int = 0) -> np.ndarray:
    """Make inputs of a network, (n, size, size, 3) uint8, with structure at several scales."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 4, 4, 3)).astype(np.uint8)
    return coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)


def bundle_of(
    model: TrainedModel, network: bytes | None = None, localizer: Localizer | None = None
) -> ModelBundle:
    """Return the content of the bundle of a model; ``network`` replaces the exported network."""
    rows = [(i, "train") for i in model.train_image_ids] + [(i, "val") for i in model.val_image_ids]
    manifest = pd.DataFrame([("test_image", "test"), *rows], columns=["image_id", "split"])
    exported = export_onnx(model) if network is None else network
    classifier = load_network(model) if model.localizer is None else None
    return ModelBundle(
        model=model,
        network=exported,
        manifest=manifest,
        card=CARD,
        localizer=localizer,
        lesion_network=None if localizer is None else export_localizer(localizer, classifier),
    )


def write_small_bundle(folder: Path, **changes: Any) -> TrainedModel:
    """Write the bundle of a small model; return the model."""
    model = exportable_model(**changes)
    write_bundle(bundle_of(model), folder)
    return model


@torch.no_grad()
def _scale(network: nn.Module, size: int) -> None:
    """Estimate the statistics of batch norms, so that the features differ between images."""
    images = torch.from_numpy(random_images(16, size)).permute(0, 3, 1, 2).float() / 64 - 2
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
            module.reset_running_stats()
            module.train()
    network(images)
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # almost constant channels would be outliers
            module.running_var.clamp_(min=float(module.running_var.mean()))
    head = list(classifier_head(network).parameters())
    for parameter in head:
        parameter.normal_(0, 1)  # the heads of some architectures are zero
    size_of_logits = network(images).std()
    for parameter in head:
        parameter.mul_(2 / size_of_logits)


@torch.no_grad()
def _unknown_score(network: nn.Module, method: UnknownMethod, size: int) -> UnknownScoreFit:
    images = torch.from_numpy(random_images(20, size, seed=1)).permute(0, 3, 1, 2).float() / 64 - 2
    with record_features(network) as recorder:
        network(images)
    features = recorder.pop().double().numpy()
    statistics = fit_unknown_statistics(method, features, np.arange(20) % 2, 0)
    return fit_threshold(statistics, np.random.default_rng(0).random(40), 0.05)
