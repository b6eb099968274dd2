"""Training of the mask decoder on the frozen features of a classifier."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import adaptive_avg_pool2d

from skin_lesions.data.preprocessing import normalize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.models.localization.decoder import MaskDecoder, mask_loss
from skin_lesions.models.localization.feature_pyramid import FeaturePyramid
from skin_lesions.models.localization.views import augmented_view

log = logging.getLogger(__name__)

_CACHE_BYTES = 2 * 1024**3  # largest size of the stored features of all views
_WARMUP = 0.15  # fraction of the steps


@dataclass(frozen=True, kw_only=True)
class DecoderRecipe:
    """Settings of the training of the decoder.

    Attributes:
        epochs: Number of passes over the images.
        batch_size: Images per step.
        learning_rate: Largest learning rate of AdamW, after the warm-up.
        weight_decay: Weight decay of AdamW.
        views: Augmented views of each image. Each epoch uses one of them, at random.
        seed: Equal seeds and equal images give equal weights on the same machine.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    views: int
    seed: int


class ViewFeatures:
    """Features and targets of the augmented views, in float16.

    The network is frozen, so that the features of a view never change. They are computed once if
    those of all views need less than 2 GiB, otherwise for each step.
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
        self.grid = grid
        self._pyramid, self._images, self._targets = pyramid, images, targets
        self._preprocessing, self._recipe, self._device = preprocessing, recipe, device
        self._stored: list[torch.Tensor] | None = None  # maps and targets, (views * n, c, h, w)
        example = self._compute(np.zeros(1, int), np.zeros(1, int))
        self.channels = [part.shape[1] for part in example[:-1]]
        count = len(images) * recipe.views
        if sum(part.nbytes for part in example) * count <= _CACHE_BYTES:
            self._stored = self._compute_all(example)

    def batch(
        self, indices: npt.NDArray[np.int64], views: npt.NDArray[np.int64]
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the maps (b, c, h, w) and targets (b, 1, g, g) of a batch, float32."""
        if self._stored is None:
            parts = self._compute(indices, views)
        else:
            rows = torch.from_numpy(views * len(self._images) + indices)
            parts = [part[rows] for part in self._stored]
        *maps, targets = (part.to(self._device).float() for part in parts)
        return maps, targets

    def _compute_all(self, example: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        n, size = len(self._images), self._recipe.batch_size
        count = n * self._recipe.views
        stored = [torch.empty((count, *part.shape[1:]), dtype=part.dtype) for part in example]
        for start in range(0, count, size):
            rows = np.arange(start, min(start + size, count))
            for whole, part in zip(stored, self._compute(rows % n, rows // n), strict=True):
                whole[start : start + size] = part.cpu()
        return stored

    @torch.no_grad()
    def _compute(
        self, indices: npt.NDArray[np.int64], views: npt.NDArray[np.int64]
    ) -> list[torch.Tensor]:
        """Return the maps of each level and the targets, float16 on the device."""
        pairs = [
            augmented_view(
                self._images[i], self._targets[i], (self._recipe.seed, int(i), int(view))
            )
            for i, view in zip(indices, views, strict=True)
        ]
        pixels = torch.stack([image for image, _ in pairs]).to(self._device)
        inputs = normalize_batch(pixels, self._preprocessing)
        maps = self._pyramid(inputs.contiguous(memory_format=torch.channels_last))
        targets = torch.stack([target for _, target in pairs]).to(self._device)
        targets = adaptive_avg_pool2d(targets, self.grid)
        largest = torch.finfo(torch.float16).max  # of the features of some transformers
        return [part.clamp(-largest, largest).half() for part in (*maps, targets)]


def train_decoder(
    features: ViewFeatures, images: int, recipe: DecoderRecipe, device: torch.device
) -> MaskDecoder:
    """Train a decoder from random weights.

    Args:
        features: Features and targets of the views.
        images: Number of images.
        recipe: Settings of the training.
        device: Device of the training.

    Returns:
        The decoder in evaluation mode, on ``device``.

    Raises:
        FloatingPointError: The loss is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        decoder = MaskDecoder(features.channels, features.grid).to(device)
    optimizer = torch.optim.AdamW(
        decoder.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    batches = -(-images // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.learning_rate,
        total_steps=recipe.epochs * batches + 1,
        pct_start=_WARMUP,
    )
    rng = np.random.default_rng(recipe.seed)
    loss = torch.zeros(())
    for epoch in range(recipe.epochs):
        order = rng.permutation(images)
        views = rng.integers(recipe.views, size=images)
        for chosen in np.array_split(order, batches):
            maps, targets = features.batch(chosen, views[chosen])
            loss = mask_loss(decoder(maps), targets)
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"The loss of the decoder is {loss.item()} in epoch {epoch + 1}. Expected a "
                    f"finite value. Lower its learning rate ({recipe.learning_rate})"
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    log.info(
        "Trained the decoder of the localizer on %d images, loss of the last batch %.3f",
        images,
        loss.item(),
    )
    return decoder.eval()
