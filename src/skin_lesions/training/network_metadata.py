"""Clinical metadata as inputs of a network."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class NetworkMetadata:
    """Encoded clinical metadata that the network gets beside the images (``ConcatNetwork``).

    Attributes:
        columns: Names of the columns.
        train: (n, width) float32, of the training images in their order.
        val: (m, width) float32, of the validation images.
    """

    columns: tuple[str, ...]
    train: NDArray[np.float32]
    val: NDArray[np.float32]

    @property
    def width(self) -> int:
        """Number of numbers that encode the metadata of an image."""
        return self.train.shape[1]
