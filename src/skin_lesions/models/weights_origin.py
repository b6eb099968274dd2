"""Origin of the initial weights of a training. Importing it does not import torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class WeightsOrigin:
    """Where the initial weights come from; saved in the model file.

    Attributes:
        weights: Parameter ``train.weights``: the name of a file, or a URL without secrets.
        file: Name of the weights file. None for random weights.
        sha256: SHA-256 hash of the file, 64 hexadecimal digits.
        head: Whether the head was loaded from the file or has new random weights.
    """

    weights: str
    file: str | None = None
    sha256: str | None = None
    head: Literal["loaded", "new"] | None = None
