"""Network whose head gets the image features and the encoded clinical metadata, joined.

With a linear head, joining is adding: for features f and metadata z,

    logits = W [f, z] + b = (W_f f + b) + W_z z.

The first term is the network of the image. It stays a network of its own, so its features, maps and
export do not depend on the metadata. Missing metadata are zeros, which add nothing.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skin_lesions.models.networks import classifier_head


class ConcatNetwork(nn.Module):
    """A network and linear coefficients of the metadata, trained together.

    Args:
        network: Network that maps images to (n, classes) logits.
        width: Number of numbers that encode the metadata of an image.
        classes: Number of outputs.
    """

    def __init__(self, network: nn.Module, width: int, classes: int):
        super().__init__()
        self.network = network
        # No bias: the head of the network has one. Zeros: the training starts with the image alone.
        self.metadata = nn.Linear(width, classes, bias=False)
        nn.init.zeros_(self.metadata.weight)

    def forward(self, images: torch.Tensor, metadata: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits, (n, classes), of images and their metadata, (n, width) or None."""
        logits: torch.Tensor = self.network(images)
        return logits if metadata is None else logits + self.metadata(metadata)

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """Coefficients of the metadata, (classes, width)."""
        weight: torch.Tensor = self.metadata.weight.detach()
        return weight.cpu().numpy().astype(np.float64)

    def get_classifier(self) -> tuple[nn.Module, nn.Module]:
        """Return the layers of the joined head, for ``models.networks.classifier_head``."""
        return classifier_head(self.network), self.metadata
