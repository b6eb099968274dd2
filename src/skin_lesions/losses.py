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

from skin_lesions.parameters import TrainRecipe


@dataclass(frozen=True)
class Loss:
    """Cross-entropy of soft targets.

    ``weights``: (classes,) of each class, or None; ``shares``: (classes,) of the training images, by
    which the logits are adjusted while learning, or None.
    """

    smoothing: float
    weights: torch.Tensor | None
    shares: torch.Tensor | None

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss.

        Args:
            logits: (n, classes).
            targets: (n, classes), the share of each class; rows sum to 1.
        """
        if self.shares is None:
            return cross_entropy(logits, targets, self.weights, label_smoothing=self.smoothing)
        # Smoothed by the same shares. If all classes had an equal part of the smoothing, one that is
        # rarer than its part would come out first for the images of all others.
        return cross_entropy(logits + self.shares.log(), targets.lerp(self.shares, self.smoothing))


def build_loss(counts: npt.NDArray[np.int64], recipe: TrainRecipe, device: torch.device) -> Loss:
    """Balance the loss by the training images of each class, as the recipe says.

    ``weights`` gives every class the same total and the average image a weight of 1.
    """
    counts = np.maximum(counts, 1)  # of a class that is only judged there may be none
    shares = torch.tensor(counts / counts.sum(), dtype=torch.float32, device=device)
    balance = recipe.class_balance
    weights = 1 / (len(counts) * shares) if balance == "weights" else None
    adjusting = shares if balance == "logit_adjustment" else None
    return Loss(recipe.label_smoothing, weights, adjusting)


def sampling_shares(
    labels: npt.NDArray[np.int64], recipe: TrainRecipe
) -> npt.NDArray[np.float64] | None:
    """Return how often each image is shown relative to the others, (n,); None: all alike.

    The square-root sampler shows a class in proportion to the square root of its images.
    """
    if recipe.class_balance != "square_root_sampler":
        return None
    counts = np.bincount(labels)
    return np.asarray(1 / np.sqrt(counts[labels]))
