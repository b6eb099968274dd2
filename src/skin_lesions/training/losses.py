"""Training loss: soft targets, label smoothing and class balancing.

Source:
    Label smoothing: Szegedy et al. (2016), arXiv:1512.00567. Logit adjustment: Menon et al. (2021),
    arXiv:2007.07314. Square-root sampling: Mahajan et al. (2018), arXiv:1805.00932.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy

from skin_lesions.config.train import TrainRecipe


@dataclass(frozen=True)
class Loss:
    """Cross-entropy of soft targets.

    Attributes:
        smoothing: Fraction of each target that is moved to ``smoothing_prior``.
        smoothing_prior: (classes,), sums to 1.
        logit_offsets: (classes,), added to the logits during training only.
        weights: (classes,), weight of an image by its class.
    """

    smoothing: float
    smoothing_prior: torch.Tensor
    logit_offsets: torch.Tensor
    weights: torch.Tensor

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss.

        Args:
            logits: (n, classes).
            targets: (n, classes), the fraction of each class; rows sum to 1.
        """
        # (1 - smoothing) * targets + smoothing * smoothing_prior
        smoothed = targets.lerp(self.smoothing_prior, self.smoothing)
        losses = cross_entropy(logits + self.logit_offsets, smoothed, reduction="none")
        # targets @ weights: (n,), the weight of a mixed image is the mean over its classes.
        return (losses * (targets @ self.weights)).mean()


def build_loss(counts: npt.NDArray[np.int64], recipe: TrainRecipe, device: torch.device) -> Loss:
    """Build the loss of a recipe from the number of training images of each class.

    ``weights`` gives every class the same total weight and the average image a weight of 1. The
    weight of an image depends on its target before label smoothing.

    ``logit_adjustment`` smooths the labels towards the class prior. Uniform smoothing would add
    the same fraction to a rare class for each image of a common class. After logit adjustment, the
    rare class would then be predicted for all of these images.
    """
    counts = np.maximum(counts, 1)  # a class of the validation images may have no training image
    prior = torch.tensor(counts / counts.sum(), dtype=torch.float32, device=device)
    ones = torch.ones_like(prior)
    is_adjusted = recipe.class_balance == "logit_adjustment"
    is_weighted = recipe.class_balance == "weights"
    return Loss(
        smoothing=recipe.label_smoothing,
        smoothing_prior=prior if is_adjusted else ones / len(ones),
        logit_offsets=prior.log() if is_adjusted else torch.zeros_like(prior),
        # The mean over all images is 1: sum(prior / (classes * prior)) = 1.
        weights=1 / (len(counts) * prior) if is_weighted else ones,
    )


def sampling_weights(
    labels: npt.NDArray[np.int64], recipe: TrainRecipe
) -> npt.NDArray[np.float64] | None:
    """Return the sampling weight of each image, (n,), or None for equal weights.

    The square-root sampler draws a class in proportion to the square root of its number of images.
    """
    if recipe.class_balance != "square_root_sampler":
        return None
    counts = np.bincount(labels)
    return np.asarray(1 / np.sqrt(counts[labels]))
