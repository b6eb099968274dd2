"""Training of the mask decoder, and optionally of the last layers of the classifier's network."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from skin_lesions.core.errors import InputError
from skin_lesions.data.preprocessing import normalize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.models.devices import training_backend
from skin_lesions.models.localization.decoder import MaskDecoder, mask_loss
from skin_lesions.models.localization.feature_pyramid import FeaturePyramid
from skin_lesions.models.localization.views import augmented_view
from skin_lesions.models.networks import layer_groups

log = logging.getLogger(__name__)

_CACHE_BYTES = 2 * 1024**3  # largest size of the stored features of all views
_WARMUP = 0.15  # fraction of the steps
# Fraction of the layer groups, from the stem on, that stay frozen if the network is trained. Their
# features are general, and a step without their gradients takes less time.
_FROZEN = 0.4


@dataclass(frozen=True, kw_only=True)
class DecoderRecipe:
    """Settings of the training of the decoder.

    Attributes:
        epochs: Number of passes over the images.
        batch_size: Images per step.
        learning_rate: Largest learning rate of AdamW for the decoder, after the warm-up.
        network_learning_rate: The same for the last layers of the network. With 0 the network is
            frozen.
        weight_decay: Weight decay of AdamW.
        views: Augmented views of each image for a frozen network. Each epoch uses one of them, at
            random. If the network is trained, each epoch has its own view.
        seed: Equal seeds and equal images give equal weights on the same machine.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    network_learning_rate: float
    weight_decay: float
    views: int
    seed: int


class ViewFeatures:
    """Features and targets of the augmented views.

    The features of a frozen network do not change. They are stored in float16 if those of all views
    need less than 2 GiB. Otherwise, and if the network is trained, each step computes them.
    """

    def __init__(
        self,
        pyramid: FeaturePyramid,
        images: torch.Tensor,
        targets: torch.Tensor,
        preprocessing: Preprocessing,
        recipe: DecoderRecipe,
        device: torch.device,
        grid: int,
    ) -> None:
        """Prepare the features of images (n, 3, s, s) uint8 with targets (n, 1, s, s) uint8.

        The targets of the views have ``grid`` x ``grid`` positions.
        """
        self.pyramid, self.grid = pyramid, grid
        self._images, self._targets = images, targets
        self._preprocessing, self._recipe, self._device = preprocessing, recipe, device
        self._stored: list[torch.Tensor] | None = None  # maps and targets, (views * n, c, h, w)
        with torch.no_grad():
            example = [part.half() for part in self._compute(np.zeros(1, int), np.zeros(1, int))]
        self.channels = [part.shape[1] for part in example[:-1]]
        count = len(images) * recipe.views
        is_small = sum(part.nbytes for part in example) * count <= _CACHE_BYTES
        if recipe.network_learning_rate == 0 and is_small:
            self._stored = self._compute_all(example)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def batch(
        self, indices: npt.NDArray[np.int64], views: npt.NDArray[np.int64]
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the maps (b, c, h, w) and targets (b, 1, g, g) of a batch, float32."""
        if self._stored is not None:
            rows = torch.from_numpy(views * len(self) + indices)
            parts = [part[rows].to(self._device).float() for part in self._stored]
        else:
            with torch.set_grad_enabled(self._recipe.network_learning_rate > 0):
                parts = self._compute(indices, views)
        return parts[:-1], parts[-1]

    @torch.no_grad()
    def _compute_all(self, example: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        n, size = len(self), self._recipe.batch_size
        count = n * self._recipe.views
        stored = [torch.empty((count, *part.shape[1:]), dtype=part.dtype) for part in example]
        largest = torch.finfo(torch.float16).max  # the features of some transformers exceed it
        for start in range(0, count, size):
            rows = np.arange(start, min(start + size, count))
            for whole, part in zip(stored, self._compute(rows % n, rows // n), strict=True):
                whole[start : start + size] = part.clamp(-largest, largest).half().cpu()
        return stored

    def _compute(
        self, indices: npt.NDArray[np.int64], views: npt.NDArray[np.int64]
    ) -> list[torch.Tensor]:
        """Return the maps of each level and the targets, float32 on the device."""
        pairs = [
            augmented_view(
                self._images[i], self._targets[i], (self._recipe.seed, int(i), int(view))
            )
            for i, view in zip(indices, views, strict=True)
        ]
        pixels = torch.stack([image for image, _ in pairs]).to(self._device)
        inputs = normalize_batch(pixels, self._preprocessing)
        maps = self.pyramid(inputs.contiguous(memory_format=torch.channels_last))
        targets = torch.stack([target for _, target in pairs]).to(self._device)
        return [*maps, adaptive_avg_pool2d(targets, self.grid)]


def trainable_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters of a network that are trained with the decoder, by name.

    The first layers are not among them, nor is the head, on which no feature map depends.
    """
    groups = layer_groups(network)
    numbers = {id(value) for group in groups[int(_FROZEN * len(groups)) : -1] for value in group}
    return {name: value for name, value in network.named_parameters() if id(value) in numbers}


def train_decoder(
    features: ViewFeatures, recipe: DecoderRecipe, device: torch.device
) -> MaskDecoder:
    """Train a decoder from random weights, and the last layers of the network in place.

    Batch norms keep their statistics, because batches are small.

    Args:
        features: Features and targets of the views. Their network is in evaluation mode.
        recipe: Settings of the training.
        device: Device of the training.

    Returns:
        The decoder in evaluation mode, on ``device``.

    Raises:
        InputError: The loss is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        decoder = MaskDecoder(features.channels, features.grid).to(device)
    optimizer = _optimizer(decoder, features.pyramid.network, recipe)
    n = len(features)
    batches = -(-n // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        total_steps=recipe.epochs * batches + 1,
        pct_start=_WARMUP,
    )
    rng = np.random.default_rng(recipe.seed)
    losses: list[float] = []
    with training_backend(device, keep_memory=True):
        for epoch in range(recipe.epochs):
            order = rng.permutation(n)
            views = rng.integers(recipe.views, size=n)
            if recipe.network_learning_rate > 0:
                views = np.full(n, epoch)
            losses = []
            for chosen in np.array_split(order, batches):
                maps, targets = features.batch(chosen, views[chosen])
                loss = mask_loss(decoder(maps), targets)
                losses.append(_finite(loss, epoch, recipe))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    log.info("Trained the localizer on %d images, final loss %.3f", n, float(np.mean(losses)))
    return decoder.eval()


def _optimizer(
    decoder: MaskDecoder, network: nn.Module, recipe: DecoderRecipe
) -> torch.optim.AdamW:
    """Return the optimizer; if the network is trained, freeze its first layers and its head."""
    groups = [{"params": list(decoder.parameters()), "lr": recipe.learning_rate}]
    if recipe.network_learning_rate > 0:
        network.requires_grad_(requires_grad=False)
        trained = list(trainable_parameters(network).values())
        for parameter in trained:
            parameter.requires_grad_()
        groups.append({"params": trained, "lr": recipe.network_learning_rate})
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)


def _finite(loss: torch.Tensor, epoch: int, recipe: DecoderRecipe) -> float:
    value = loss.item()
    if not np.isfinite(value):
        raise InputError(
            f"The loss of the localizer is {value} in epoch {epoch + 1}. Expected a finite value. "
            f"Fix: lower localize.decoder.learning_rate ({recipe.learning_rate}) and "
            f"localize.decoder.network_learning_rate ({recipe.network_learning_rate})"
        )
    return value
