"""Localizer of a model bundle, with ONNX Runtime."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skin_lesions.data.image_files import read_pixels
from skin_lesions.deployment.lesions import FoundLesions, LesionInput
from skin_lesions.deployment.onnx_session import open_session
from skin_lesions.deployment.pillow_images import input_of_image
from skin_lesions.models.bundle_files import LESION_NETWORK, read_localizer_metadata
from skin_lesions.models.localization.boxes import boxes_of_map, constant_localization
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.onnx_names import IMAGES, LESION_PROBABILITIES

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True, kw_only=True)
class OnnxLesionFinder:
    """A ``LesionFinder`` that runs the ONNX file of a bundle.

    Attributes:
        localizer: The localizer without tensors.
        session: Session of its network; None for a constant box.
    """

    localizer: Localizer
    session: "InferenceSession | None"

    @property
    def version(self) -> str:
        """The version of the localizer."""
        return self.localizer.version

    def read(self, data: bytes) -> LesionInput:
        """Decode an image file; see ``LesionFinder.read``."""
        image = read_pixels(data)
        width, height = image.upright_size
        pixels = input_of_image(image, self.localizer.preprocessing)
        return LesionInput(pixels=pixels, width=width, height=height)

    def find(self, images: Sequence[LesionInput]) -> list[FoundLesions]:
        """Return the lesions of each image; see ``LesionFinder.find``."""
        localizer = self.localizer
        if localizer.box is not None:
            found = [constant_localization(localizer.box)] * len(images)
        elif self.session is not None:
            pixels = np.stack([image.pixels for image in images])
            [maps] = self.session.run([LESION_PROBABILITIES], {IMAGES: pixels})  # (n, g, g)
            found = [boxes_of_map(values, localizer.threshold or 0.0) for values in maps]
        else:
            raise ValueError("A localizer without a constant box needs the session of its network")
        return [
            FoundLesions(localization=lesions, width=image.width, height=image.height)
            for lesions, image in zip(found, images, strict=True)
        ]


def read_lesion_finder(folder: Path) -> OnnxLesionFinder | None:
    """Read the localizer of a bundle, or return None if it has none.

    Call ``verify_checksums`` before.

    Raises:
        InputError: Its files are not valid.
    """
    localizer = read_localizer_metadata(folder)
    if localizer is None:
        return None
    has_network = localizer.box is None
    session = open_session(folder / LESION_NETWORK) if has_network else None
    return OnnxLesionFinder(localizer=localizer, session=session)
