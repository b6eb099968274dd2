"""Model bundle: predictions and class activation maps with ONNX Runtime, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.deployment.lesions import FoundLesions
from skin_lesions.deployment.onnx_lesions import OnnxLesionFinder, read_lesion_finder
from skin_lesions.deployment.onnx_session import open_session
from skin_lesions.deployment.pillow_images import crop_square, read_with_pillow
from skin_lesions.deployment.predictor import ModelDescription
from skin_lesions.models.bundle_files import (
    CONFIG,
    LOCALIZER,
    MISSING_EXTRA,
    NETWORK,
    REMEDY,
    WEIGHTS,
    read_head_name,
    read_metadata,
    verify_checksums,
)
from skin_lesions.models.network_outputs import NetworkOutputs
from skin_lesions.models.onnx_names import FEATURE_MAP, FEATURES, IMAGES, LOGITS

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Floats = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class OnnxPredictor:
    """A ``Predictor`` that runs the ONNX file of a model bundle.

    Attributes:
        folder: The bundle.
        description: The model.
        session: Session of ONNX Runtime.
        lesion_finder: The localizer of the bundle; None if it has none.
    """

    folder: Path
    description: ModelDescription
    session: "InferenceSession"
    lesion_finder: OnnxLesionFinder | None

    @property
    def has_heat_maps(self) -> bool:
        """Whether ``heat_maps`` is available: the head is global average pooling and linear."""
        return FEATURE_MAP in {output.name for output in self.session.get_outputs()}

    def read(self, data: bytes) -> Images:
        """Decode an image file; see ``Predictor.read``."""
        return read_with_pillow(data, self.description.preprocessing)

    def crop(self, square: Images, lesions: FoundLesions) -> Images:
        """Return the input of a model of crops; see ``Predictor.crop``."""
        box = lesions.main_box.tolist()
        return crop_square(square, lesions.aspect, self.description.preprocessing, box)

    def outputs(self, images: Images) -> NetworkOutputs:
        """Run the network; see ``Predictor.outputs``."""
        found = self._run(images, LOGITS, FEATURES)
        return NetworkOutputs(
            logits=found[LOGITS].astype(np.float64), features=found[FEATURES].astype(np.float64)
        )

    def heat_maps(self, images: Images, classes: npt.NDArray[np.intp]) -> Floats:
        """Return the class activation map of one class for each image.

        It shows which regions raise the logit of the class. It is Grad-CAM at the last layer, up to
        a factor, and is that of the image without augmentation.

        Args:
            images: (n, image_size, image_size, 3) uint8, results of ``read``.
            classes: Class number of each map, (n,).

        Returns:
            (n, h, w) float32, values of at least 0 at the positions of the last feature map, not
            normalized. A map is zero everywhere if no position raises the logit.

        Raises:
            ValueError: ``has_heat_maps`` is false.
        """
        if not self.has_heat_maps:
            raise ValueError(
                f"{self.description.architecture} has no class activation maps, because its head "
                "is not global average pooling and one linear layer. Check has_heat_maps before"
            )
        maps = self._run(images, FEATURE_MAP)[FEATURE_MAP]  # (n, c, h, w)
        weights = self._head_weights[classes]  # (n, c)
        return np.asarray(np.maximum(np.einsum("nc,nchw->nhw", weights, maps), 0), np.float32)

    @cached_property
    def _head_weights(self) -> Floats:
        """Weights of the linear head, (classes, features)."""
        try:
            from safetensors import safe_open  # noqa: PLC0415 (an extra)
        except ModuleNotFoundError:
            raise InputError(MISSING_EXTRA.format("safetensors")) from None
        name = f"{read_head_name(self.folder / CONFIG)}.weight"
        with safe_open(self.folder / WEIGHTS, framework="numpy") as tensors:
            return np.asarray(tensors.get_tensor(name), np.float32)

    def _run(self, images: Images, *names: str) -> Mapping[str, Floats]:
        """Return some outputs of the network by name."""
        return dict(zip(names, self.session.run(list(names), {IMAGES: images}), strict=True))


def read_bundle(path: Path) -> OnnxPredictor:
    """Read a model bundle. No file content is executed.

    Args:
        path: Folder that the pipeline ``export`` wrote, or a copy of it.

    Raises:
        InputError: A file is missing or has changed since the export, the bundle was written by
            another version of this package, or onnxruntime is not installed.
    """
    verify_checksums(path)
    model, finder = read_metadata(path), read_lesion_finder(path)
    if model.localizer is not None and finder is None:
        raise InputError(
            f"{printable(path)} is not a complete model bundle: the model classifies crops around "
            f"the lesion, and {LOCALIZER} is missing. {REMEDY}"
        )
    return OnnxPredictor(
        folder=path,
        description=ModelDescription.of(model, finder.version if finder else None),
        session=open_session(path / NETWORK),
        lesion_finder=finder,
    )
