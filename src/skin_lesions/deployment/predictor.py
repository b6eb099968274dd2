"""Predictor: from the bytes of an image file to outputs of a network.

A model file (with torch) and a model bundle (with ONNX Runtime) have the same interface. Everything
after the network is in ``models.postprocessing``, which needs only NumPy and SciPy.
"""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.lesions import FoundLesions, LesionFinder
from skin_lesions.models.network_outputs import NetworkOutputs
from skin_lesions.models.trained_model import Postprocessing, TrainedModel


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What predictions need to know about a model.

    Attributes:
        architecture: Name of the architecture, as in ``train.architecture``.
        classes: The outputs, in order.
        preprocessing: Conversion of an image into the input.
        postprocessing: Steps after the network.
        version: Version of the model in the catalog.
        is_synthetic: Whether the model was trained on synthetic images.
        localizer_version: Version of the localizer; None if the predictions have no boxes.
    """

    architecture: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    postprocessing: Postprocessing
    version: str
    is_synthetic: bool
    localizer_version: str | None = None

    @classmethod
    def of(cls, model: TrainedModel, localizer_version: str | None = None) -> Self:
        """Return the description of a model file."""
        return cls(
            architecture=model.architecture,
            classes=model.classes,
            preprocessing=model.preprocessing,
            postprocessing=model.postprocessing,
            version=model.version,
            is_synthetic=model.provenance.origin.is_synthetic,
            # The localizer of a model of crops is a part of the model.
            localizer_version=model.version if model.localizer else localizer_version,
        )

    @property
    def has_crops(self) -> bool:
        """Whether the inputs are crops around the main lesion."""
        return self.preprocessing.lesion_margin is not None

    def warnings(self) -> list[str]:
        """Return what users must know before they use the predictions of this model."""
        warnings = []
        if self.is_synthetic:
            warnings.append(
                "The model was trained on synthetic images: its predictions say nothing about real "
                "skin"
            )
        if self.postprocessing.referral.min_confidence is None:
            warnings.append(
                "The model has no referral threshold, so all images are referred: "
                f"{self.postprocessing.referral.reason}"
            )
        return warnings


class Predictor(Protocol):
    """A model that is ready for predictions."""

    @property
    def description(self) -> ModelDescription:
        """Return the description of the model."""

    @property
    def lesion_finder(self) -> LesionFinder | None:
        """Return the localizer of the model; None if the predictions have no boxes."""

    def read(self, data: bytes) -> npt.NDArray[np.uint8]:
        """Decode an image file into the pixels of one input.

        Args:
            data: Complete content of the file.

        Returns:
            (image_size, image_size, 3) uint8, RGB. With ``description.has_crops``, the complete
            image as a square of ``stored_image_size`` pixels, for ``crop``.

        Raises:
            UnreadableImageError: The message is the reason.
        """

    def crop(self, square: npt.NDArray[np.uint8], lesions: FoundLesions) -> npt.NDArray[np.uint8]:
        """Return the input of a model of crops.

        Args:
            square: Result of ``read``.
            lesions: The lesions of the image, from ``lesion_finder``.

        Returns:
            (image_size, image_size, 3) uint8, RGB.
        """

    def outputs(self, images: npt.NDArray[np.uint8]) -> NetworkOutputs:
        """Run the network.

        Args:
            images: (n, image_size, image_size, 3) uint8, results of ``read`` or ``crop``.

        Returns:
            Logits before calibration (with test-time augmentation, their mean) and penultimate
            features of the n images.
        """
