"""The localizer: finds lesions with the network of a trained classifier; fitting and use.

``localizer_file`` reads and writes it.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.preprocessing import normalize_batch, resize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.models.grad_cam import MapUnavailableError, find_map_layer
from skin_lesions.models.localization.boxes import (
    Localization,
    boxes_of_map,
    constant_localization,
    fit_threshold,
)
from skin_lesions.models.localization.cam import lesion_activation_maps
from skin_lesions.models.localization.decoder import (
    MaskDecoder,
    MaskNetwork,
    decoder_channels,
    decoder_grid,
)
from skin_lesions.models.localization.dense import DecoderRecipe, ViewFeatures, train_decoder
from skin_lesions.models.localization.feature_pyramid import FeaturePyramid, find_pyramid_layers
from skin_lesions.models.localization.lesions import IMAGE_BOX, Lesion
from skin_lesions.models.localization.localizer_model import Localizer, Method
from skin_lesions.models.localization.poses import FLIPS, mean_over_poses
from skin_lesions.models.map_layers import MapLayer
from skin_lesions.models.model_file import content_checksum
from skin_lesions.models.networks import build_network, head_parameter_names

# Prefixes of the names of tensors.
_DECODER = "decoder."
_NETWORK = "network."


@dataclass(frozen=True, kw_only=True)
class LocalizerSettings:
    """Settings of a localizer.

    Attributes:
        method: As in ``Localizer``.
        image_size: Width and height of the input, pixels.
        batch_size: Images per batch of the inference; it does not change the results.
        decoder: Training of the decoder (``dense``).
    """

    method: Method
    image_size: int
    batch_size: int
    decoder: DecoderRecipe


def weights_sha256(network: nn.Module) -> str:
    """Return the SHA-256 hash of all tensors of a network, 64 hex digits."""
    return content_checksum({}, network.state_dict())


def fit_localizer(
    network: nn.Module,
    squares: npt.NDArray[np.uint8],
    lesions: Sequence[Lesion],
    settings: LocalizerSettings,
    *,
    architecture: str,
    preprocessing: Preprocessing,
    device: torch.device,
) -> Localizer:
    """Fit a localizer to annotated images.

    Args:
        network: Network of the classifier. It is moved to ``device`` and set to evaluation mode,
            and its weights do not change.
        squares: Stored squares, (n, s, s, 3); images stretched to squares.
        lesions: Annotation of each image.
        settings: Method and its settings.
        architecture: Architecture of the classifier.
        preprocessing: Preprocessing of the classifier; only its normalization is used.
        device: Device of the computation.

    Raises:
        InputError: There is no annotated image, the numbers of images and annotations differ, or
            the network has no suitable feature map.
    """
    check_annotations(squares, lesions, settings.method)
    localizer = _without_fit(network, squares, lesions, settings, architecture, preprocessing)
    if settings.method == "whole_image":
        return localizer
    main_boxes = np.stack([lesion.main_box for lesion in lesions])  # (n, 4)
    if settings.method == "mean_box":
        mean = np.concatenate([lesion.boxes for lesion in lesions]).mean(axis=0)
        return localizer.model_copy(update={"box": tuple(map(float, mean))})
    network.to(device).eval()
    localizer = localizer.model_copy(
        update={"box": None, "layers": _layers(network, settings), "threshold": 0.5}
    )
    if settings.method == "dense":
        tensors = _fit_mask_network(localizer, network, squares, lesions, settings.decoder, device)
        hashed = {"state_dict": tensors, "tensors_sha256": content_checksum({}, tensors)}
        localizer = localizer.model_copy(update=hashed)
    maps = LesionDetector(localizer, network, device).maps(squares, settings.batch_size)
    return localizer.model_copy(update={"threshold": fit_threshold(maps, main_boxes)})


def check_annotations(
    squares: npt.NDArray[np.uint8], lesions: Sequence[Lesion], method: Method
) -> None:
    """Check that each image has its annotation, and that there is one for a method that needs it.

    Raises:
        InputError: The numbers differ, or are zero.
    """
    if len(squares) != len(lesions):
        raise InputError(
            f"There are {len(squares)} images and {len(lesions)} annotations. Expected one "
            "annotation for each image. Fix: select the rows with boxes or masks"
        )
    if not lesions and method != "whole_image":
        raise InputError(
            f"The method {method} requires images with boxes or masks, and there are none. "
            "Fix: add annotations, or set the method whole_image"
        )


class LesionDetector:
    """A localizer, ready for use.

    Args:
        localizer: A fitted localizer.
        network: Network of the classifier, moved to ``device`` and set to evaluation mode. Only
            the method ``cam`` requires it; None: the localizer is used without its classifier.
        device: Device of the computation.

    Raises:
        InputError: The localizer was fitted with other weights of the classifier, its tensors do
            not match its architecture, or it requires the classifier.
    """

    def __init__(
        self, localizer: Localizer, network: nn.Module | None, device: torch.device
    ) -> None:
        self._localizer, self._device = localizer, device
        self._masks: MaskNetwork | None = None
        self._classifier: nn.Module | None = None
        if network is not None:
            check_classifier(localizer, weights_sha256(network))
            self._classifier = network.to(device).eval()
        elif localizer.method == "cam":
            raise InputError(
                "A localizer with the method cam needs its classifier. Expected the method dense, "
                "mean_box or whole_image. Fix: kedro run --pipelines localize --params "
                "localize.method=dense"
            )
        if localizer.method == "dense":
            self._masks = mask_network(localizer, network).to(device)

    def find(self, squares: npt.NDArray[np.uint8], batch_size: int) -> list[Localization]:
        """Find the lesions of each image. A mirrored image has the mirrored boxes.

        Args:
            squares: Stretched images, (n, s, s, 3) uint8, of any size.
            batch_size: Images per batch.
        """
        localizer = self._localizer
        if localizer.box is not None:
            return [constant_localization(localizer.box)] * len(squares)
        threshold = localizer.threshold or 0.0
        return [boxes_of_map(found, threshold) for found in self.maps(squares, batch_size)]

    def maps(
        self, squares: npt.NDArray[np.uint8], batch_size: int
    ) -> list[npt.NDArray[np.float32]]:
        """Return the map of each image, the mean over mirrored images and half turns."""
        found: list[npt.NDArray[np.float32]] = []
        for start in range(0, len(squares), batch_size):
            batch = _resize(squares[start : start + batch_size], self._localizer.preprocessing)
            maps = mean_over_poses(self._maps_of_images, batch.to(self._device), FLIPS)
            found += list(maps.float().cpu().numpy())
        return found

    def _maps_of_images(self, images: torch.Tensor) -> torch.Tensor:
        """Return the maps (n, g, g) of images (n, 3, s, s) uint8 in one pose."""
        inputs = normalize_batch(images, self._localizer.preprocessing)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        if self._masks is not None:
            with torch.no_grad():
                return torch.sigmoid(self._masks(inputs)[:, 0])
        if self._classifier is None:
            raise ValueError("A constant box has no maps")
        return lesion_activation_maps(self._classifier, self._localizer.layers[0], inputs)


def localize(
    localizer: Localizer,
    network: nn.Module,
    squares: npt.NDArray[np.uint8],
    *,
    batch_size: int,
    device: torch.device,
) -> list[Localization]:
    """Find the lesions of each image; see ``LesionDetector``.

    Raises:
        InputError: The localizer was fitted with other weights of the classifier.
    """
    return LesionDetector(localizer, network, device).find(squares, batch_size)


def check_classifier(localizer: Localizer, sha256: str) -> None:
    """Check that the localizer was fitted with the weights that have this hash.

    Raises:
        InputError: The weights differ.
    """
    if sha256 != localizer.classifier_sha256:
        raise InputError(
            f"The localizer belongs to another classifier (weights {sha256[:12]}, expected "
            f"{localizer.classifier_sha256[:12]}). Fix: kedro run --pipelines localize"
        )


def mask_network(localizer: Localizer, network: nn.Module | None = None) -> MaskNetwork:
    """Return the mask network of a localizer with the method ``dense``.

    It maps normalized images to mask logits, (n, 1, g, g), and can be exported to ONNX.

    Args:
        localizer: A fitted localizer.
        network: Network of the classifier, which is copied. None: it is built from the name of the
            architecture.

    Raises:
        InputError: The tensors do not match the network, or the architecture cannot be built.
    """
    # The maps do not depend on the head, so its number of outputs is arbitrary.
    network = (
        build_network(localizer.architecture, 1) if network is None else copy.deepcopy(network)
    )
    own, tensors = network.state_dict(), _with_prefix(localizer.state_dict, _NETWORK)
    matches = own.keys() - head_parameter_names(network) == tensors.keys() and all(
        isinstance(tensor, torch.Tensor) and own[name].shape == tensor.shape
        for name, tensor in tensors.items()
    )
    if not matches:
        raise InputError(
            f"The localizer has other tensors than {localizer.architecture}. Expected those of "
            "the same architecture. Fix: kedro run --pipelines localize"
        )
    network.load_state_dict(tensors, strict=False)
    decoder = decoder_of_tensors(localizer)
    return MaskNetwork(FeaturePyramid(network, localizer.layers), decoder).eval()


def decoder_of_tensors(localizer: Localizer) -> MaskDecoder:
    """Build the decoder of a localizer and load its tensors.

    Raises:
        RuntimeError: Tensors are missing, unexpected, or of a different shape.
    """
    tensors = _with_prefix(localizer.state_dict, _DECODER)
    grid = decoder_grid(localizer.layers, localizer.preprocessing.image_size)
    decoder = MaskDecoder(decoder_channels(tensors), grid)
    decoder.load_state_dict(tensors)
    return decoder


def _with_prefix(tensors: Mapping[str, object], prefix: str) -> dict[str, object]:
    """Return the tensors whose name begins with a prefix, without it."""
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def _without_fit(
    network: nn.Module,
    squares: npt.NDArray[np.uint8],
    lesions: Sequence[Lesion],
    settings: LocalizerSettings,
    architecture: str,
    preprocessing: Preprocessing,
) -> Localizer:
    """Return a localizer that finds the complete image."""
    masks = sum(lesion.mask is not None for lesion in lesions)
    return Localizer.model_construct(
        method=settings.method,
        architecture=architecture,
        classifier_sha256=weights_sha256(network),
        preprocessing=replace(
            preprocessing,
            resize_mode="stretch",
            lesion_margin=None,
            stored_image_size=squares.shape[1],
            image_size=settings.image_size,
        ),
        box=IMAGE_BOX,
        masks=masks,
        boxes=len(lesions) - masks,
        state_dict={},
        tensors_sha256=content_checksum({}, {}),
    )


def _layers(network: nn.Module, settings: LocalizerSettings) -> tuple[MapLayer, ...]:
    if settings.method == "dense":
        return find_pyramid_layers(network, settings.image_size)
    try:
        return (find_map_layer(network, settings.image_size),)
    except MapUnavailableError as error:
        raise InputError(
            f"The method cam is not possible: {error}. Expected a layer with a map. "
            "Fix: set the method mean_box"
        ) from None


def _fit_mask_network(
    localizer: Localizer,
    network: nn.Module,
    squares: npt.NDArray[np.uint8],
    lesions: Sequence[Lesion],
    recipe: DecoderRecipe,
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """Train a decoder, and a copy of the network; return the tensors of both on the CPU."""
    if recipe.network_learning_rate > 0:
        network = copy.deepcopy(network)
    size = localizer.preprocessing.image_size
    targets = np.stack([lesion.coverage(size) * 255 for lesion in lesions]).round()
    features = ViewFeatures(
        FeaturePyramid(network, localizer.layers),
        _resize(squares, localizer.preprocessing),
        torch.from_numpy(targets.astype(np.uint8))[:, None],  # (n, 1, size, size)
        localizer.preprocessing,
        recipe,
        device,
        decoder_grid(localizer.layers, size),
    )
    decoder = train_decoder(features, recipe, device)
    tensors = {_DECODER + name: value.cpu() for name, value in decoder.state_dict().items()}
    head = head_parameter_names(network)
    for name, value in network.state_dict().items():
        if name not in head:
            tensors[_NETWORK + name] = value.cpu()
    return tensors


def _resize(squares: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> torch.Tensor:
    """Return (n, 3, image_size, image_size) uint8."""
    return resize_batch(np.ascontiguousarray(squares), [1.0] * len(squares), preprocessing)
