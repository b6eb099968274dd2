"""Probabilities and unknown score as layers, so that the exported network computes them.

They repeat ``models.postprocessing`` in torch. Each export compares both on images.
"""

import torch
from torch import nn

from skin_lesions.models.postprocessing.unknown_score import NEIGHBOR, UnknownStatistics
from skin_lesions.models.trained_model import Postprocessing


class CalibratedSoftmax(nn.Module):
    """Logits (n, classes) to probabilities for the class frequencies of the training images."""

    log_ratio: torch.Tensor

    def __init__(self, fitted: Postprocessing) -> None:
        super().__init__()
        self._temperature = fitted.calibration.temperature
        log_ratio = torch.from_numpy(fitted.frequencies.log_ratio_to_training).float()
        self.register_buffer("log_ratio", log_ratio)

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probabilities, (n, classes)."""
        return torch.softmax(logits / self._temperature + self.log_ratio, dim=1)


class UnknownScore(nn.Module):
    """Logits (n, classes) and features (n, f) to unknown scores (n,).

    The computations are in float64, because small differences of large numbers decide.
    """

    def __init__(self, statistics: UnknownStatistics) -> None:
        super().__init__()
        self._method = statistics.method
        for name, array in statistics.arrays.items():
            self.register_buffer(name, torch.from_numpy(array.decode()))

    def forward(self, logits: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return the scores; see ``UnknownScorer``."""
        if self._method == "energy":
            return -torch.logsumexp(logits, dim=1)
        if self._method == "nearest_neighbors":
            return self._neighbor_distances(features.double()).float()
        return self._mahalanobis_distances(features.double()).float()

    def _neighbor_distances(self, x: torch.Tensor) -> torch.Tensor:
        neighbors = self.get_buffer("neighbors")  # (neighbors, f)
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        x = x / torch.where(length > 0, length, 1.0)
        # |a - b|² = |a|² + |b|² - 2 a·b, (n, neighbors); rounding errors could be below 0.
        squared = (x**2).sum(dim=1, keepdim=True) + (neighbors**2).sum(dim=1)
        squared = (squared - 2 * x @ neighbors.T).clamp(min=0)
        rank = min(NEIGHBOR, len(neighbors))
        nearest = torch.topk(squared, rank, dim=1, largest=False).values  # (n, rank), ascending
        return nearest[:, -1].sqrt()

    def _mahalanobis_distances(self, x: torch.Tensor) -> torch.Tensor:
        deviation = x[:, None] - self.get_buffer("means")  # (n, classes, f)
        along = deviation @ self.get_buffer("directions")  # (n, classes, r)
        rest = (deviation**2).sum(dim=2) - (along**2).sum(dim=2)
        distances = (along**2 / self.get_buffer("variances")).sum(dim=2)
        distances = distances + rest.clamp(min=0) / self.get_buffer("residual_variance")
        return distances.amin(dim=1) / x.shape[1]
