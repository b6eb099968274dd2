"""Localizer of a localizer file, with the network of its classifier."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.decoding import decode
from skin_lesions.data.preprocessing import resize_batch
from skin_lesions.deployment.lesions import FoundLesions, LesionInput
from skin_lesions.models.devices import device_label
from skin_lesions.models.localization.localizer import LesionDetector
from skin_lesions.models.localization.localizer_model import Localizer

_CPU_BATCH = 8  # as for the classifier


class TorchLesionFinder:
    """A ``LesionFinder`` with torch.

    Args:
        localizer: The localizer.
        network: Network of its classifier, on ``device``; None as in ``LesionDetector``.
        device: Device of the computation.

    Raises:
        InputError: The localizer belongs to another classifier.
    """

    def __init__(
        self, localizer: Localizer, network: nn.Module | None, device: torch.device
    ) -> None:
        self._localizer, self._device = localizer, device
        self._detector = LesionDetector(localizer, network, device)

    @property
    def version(self) -> str:
        """The version of the localizer."""
        return self._localizer.version

    def read(self, data: bytes) -> LesionInput:
        """Decode an image file; see ``LesionFinder.read``."""
        preprocessing = self._localizer.preprocessing
        image = decode(data, preprocessing.stored_image_size)
        resized = resize_batch(image.pixels[None], [1.0], preprocessing)
        return LesionInput(
            pixels=resized[0].permute(1, 2, 0).numpy(), width=image.width, height=image.height
        )

    def find(self, images: Sequence[LesionInput]) -> list[FoundLesions]:
        """Return the lesions of each image; see ``LesionFinder.find``.

        Raises:
            InputError: The memory of the GPU is too small.
        """
        size = _CPU_BATCH if self._device.type == "cpu" else len(images)
        try:
            found = self._detector.find(np.stack([image.pixels for image in images]), size)
        except torch.cuda.OutOfMemoryError:
            raise InputError(
                f"Out of memory on {device_label(self._device)}: {len(images)} images of "
                f"{self._localizer.preprocessing.image_size} pixels at once. Lower "
                "predict.batch_size (--batch-size)"
            ) from None
        return [
            FoundLesions(localization=lesions, width=image.width, height=image.height)
            for lesions, image in zip(found, images, strict=True)
        ]
