"""Outputs of a network, with or without torch."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class NetworkOutputs:
    """Outputs of a network for some images.

    Attributes:
        logits: (n, classes); with test-time augmentation, their mean.
        features: (n, features), the penultimate features of the images without augmentation;
            (n, 0) if they are not recorded.
    """

    logits: npt.NDArray[np.float64]
    features: npt.NDArray[np.float64]
