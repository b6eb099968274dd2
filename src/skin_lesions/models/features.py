"""Penultimate features: the inputs of the classifier head, for any architecture."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from skin_lesions.models.networks import classifier_head


class FeatureRecorder:
    """The inputs of the classifier head in the last call of a network."""

    def __init__(self) -> None:
        self._inputs: list[torch.Tensor] = []

    def pop(self) -> torch.Tensor:
        """Return the features of the last call, float32 (n, features), and forget them.

        Raises:
            ValueError: The network did not call its head.
        """
        if not self._inputs:
            raise ValueError(
                "The network has not called its classifier head. Expected one call before."
            )
        features = torch.cat(self._inputs, dim=1)
        self._inputs.clear()
        return features

    def record(self, head: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        """Record the input of one layer of the head (forward pre-hook).

        A head is applied either to one vector for each image, to each position of a map (SqueezeNet
        applies a convolution before it averages), or to each token. Positions and tokens are
        averaged, because the head averages their logits in the same way.
        """
        x = inputs[0].detach().float()
        is_map = isinstance(head, nn.Conv2d)  # (n, features, height, width)
        positions = range(2, x.ndim) if is_map else range(1, x.ndim - 1)
        self._inputs.append(x.mean(dim=list(positions)) if positions else x)


@contextmanager
def record_features(network: nn.Module) -> Iterator[FeatureRecorder]:
    """Record the features of each call of a network within the block.

    Some transformers have two heads, for the class token and for a distillation token. Their
    features are concatenated.

    Args:
        network: Network with the head that ``models.networks.classifier_head`` identifies.
    """
    recorder = FeatureRecorder()
    head = classifier_head(network)
    layers = list(head) if isinstance(head, nn.ModuleList) else [head]
    hooks = [layer.register_forward_pre_hook(recorder.record) for layer in layers]
    try:
        yield recorder
    finally:
        for hook in hooks:
            hook.remove()
