"""What a network is taught by: targets, their smoothing, and the balance of the classes.

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

    ``smoothing``: share of each target that goes to ``smoothed_to``, (classes,); ``offsets``: (classes,)
    added to the logits while learning; ``weights``: (classes,) of images by their class.
    """

    smoothing: float
    smoothing_prior: torch.Tensor
    logit_offsets: torch.Tensor
    weights: torch.Tensor

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss.

        Args:
            logits: (n, classes).
            targets: (n, classes), the share of each class; rows sum to 1.
        """
        smoothed = targets.lerp(self.smoothing_prior, self.smoothing)
        losses = cross_entropy(logits + self.logit_offsets, smoothed, reduction="none")
        return (losses * (targets @ self.weights)).mean()


def build_loss(counts: npt.NDArray[np.int64], recipe: TrainRecipe, device: torch.device) -> Loss:
    """Balance the loss by the training images of each class, as the recipe says.

    ``weights`` gives every class the same total and the average image a weight of 1; an image weighs by
    what it shows, smoothing aside. ``logit_adjustment`` smooths by the shares of the classes. Else,
    of many images each gives a class of few its part of the smoothing, and that class comes out first
    for all of them.
    """
    counts = np.maximum(counts, 1)  # of a class that is only judged there may be none
    shares = torch.tensor(counts / counts.sum(), dtype=torch.float32, device=device)
    ones, zeros = torch.ones_like(shares), torch.zeros_like(shares)
    adjusts, weighs = (recipe.class_balance == how for how in ("logit_adjustment", "weights"))
    return Loss(
        smoothing=recipe.label_smoothing,
        smoothing_prior=shares if adjusts else ones / len(ones),
        logit_offsets=shares.log() if adjusts else zeros,
        weights=1 / (len(counts) * shares) if weighs else ones,
    )


def sampling_weights(
    labels: npt.NDArray[np.int64], recipe: TrainRecipe
) -> npt.NDArray[np.float64] | None:
    """Return how often each image is shown relative to the others, (n,); None: all alike.

    The square-root sampler shows a class in proportion to the square root of its images.
    """
    if recipe.class_balance != "square_root_sampler":
        return None
    counts = np.bincount(labels)
    return np.asarray(1 / np.sqrt(counts[labels]))
