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
from skin_lesions.models.localization.boxes import Localization, boxes_of_map, fit_threshold
from skin_lesions.models.localization.cam import lesion_activation_maps
from skin_lesions.models.localization.decoder import (
    MaskDecoder,
    MaskNetwork,
    decoder_channels,
    decoder_grid,
)
from skin_lesions.models.localization.dense import (
    DecoderRecipe,
    ViewFeatures,
    train_decoder,
    trainable_parameters,
)
from skin_lesions.models.localization.feature_pyramid import FeaturePyramid, find_pyramid_layers
from skin_lesions.models.localization.lesions import IMAGE_BOX, Lesion, box_coverage
from skin_lesions.models.localization.localizer_model import Localizer, Method
from skin_lesions.models.localization.poses import FLIPS, mean_over_poses
from skin_lesions.models.map_layers import MapLayer
from skin_lesions.models.model_file import content_checksum

_GRID = 28  # side of the map of a constant box
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
        localizer = localizer.model_copy(update={"state_dict": tensors})
    maps = _probability_maps(localizer, network, squares, settings.batch_size, device)
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


def localize(
    localizer: Localizer,
    network: nn.Module,
    squares: npt.NDArray[np.uint8],
    *,
    batch_size: int,
    device: torch.device,
) -> list[Localization]:
    """Find the lesions of each image. A mirrored image has the mirrored boxes.

    Args:
        localizer: A fitted localizer.
        network: Network of the classifier, moved to ``device`` and set to evaluation mode.
        squares: Stored squares, (n, s, s, 3) uint8, of any size; images stretched to squares.
        batch_size: Images per batch.
        device: Device of the computation.

    Raises:
        InputError: The localizer was fitted with other weights of the classifier.
    """
    check_classifier(localizer, network)
    if localizer.box is not None:
        found = Localization(
            boxes=np.array([localizer.box]),
            scores=np.ones(1),
            probabilities=box_coverage(localizer.box, _GRID),
        )
        return [found] * len(squares)
    network.to(device).eval()
    maps = _probability_maps(localizer, network, squares, batch_size, device)
    threshold = localizer.threshold or 0.0
    return [boxes_of_map(probabilities, threshold) for probabilities in maps]


def check_classifier(localizer: Localizer, network: nn.Module) -> None:
    """Check that the localizer was fitted with the weights of this network.

    Raises:
        InputError: The weights differ.
    """
    sha256 = weights_sha256(network)
    if sha256 != localizer.classifier_sha256:
        raise InputError(
            f"The localizer belongs to another classifier (weights {sha256[:12]}, expected "
            f"{localizer.classifier_sha256[:12]}). Fix: kedro run --pipelines localize"
        )


def mask_network(localizer: Localizer, network: nn.Module) -> MaskNetwork:
    """Return the mask network of a localizer with the method ``dense``.

    It maps normalized images to mask logits, (n, 1, g, g), and can be exported to ONNX.

    Args:
        localizer: A fitted localizer.
        network: Network of the classifier. It is copied if the localizer has trained tensors for
            it, otherwise shared.

    Raises:
        InputError: The tensors do not match the network.
    """
    trained = _with_prefix(localizer.state_dict, _NETWORK)
    if trained:
        network = copy.deepcopy(network)
        own = network.state_dict()
        matches = all(
            name in own and isinstance(tensor, torch.Tensor) and own[name].shape == tensor.shape
            for name, tensor in trained.items()
        )
        if not matches:
            raise InputError(
                f"The localizer has other tensors than {localizer.architecture}. Expected those of "
                "the same architecture. Fix: kedro run --pipelines localize"
            )
        network.load_state_dict(trained, strict=False)
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
            stored_image_size=squares.shape[1],
            image_size=settings.image_size,
        ),
        box=IMAGE_BOX,
        masks=masks,
        boxes=len(lesions) - masks,
        state_dict={},
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
    """Train a decoder, and a copy of the network; return the trained tensors on the CPU."""
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
    if recipe.network_learning_rate > 0:
        for name, value in trainable_parameters(network).items():
            tensors[_NETWORK + name] = value.detach().cpu()
    return tensors


def _resize(squares: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> torch.Tensor:
    """Return (n, 3, image_size, image_size) uint8."""
    return resize_batch(np.ascontiguousarray(squares), [1.0] * len(squares), preprocessing)


def _probability_maps(
    localizer: Localizer,
    network: nn.Module,
    squares: npt.NDArray[np.uint8],
    batch_size: int,
    device: torch.device,
) -> list[npt.NDArray[np.float32]]:
    """Return the map of each image, the mean over mirrored images and half turns."""
    masks = None
    if localizer.method == "dense":
        masks = mask_network(localizer, network).to(device)

    def maps_of_images(images: torch.Tensor) -> torch.Tensor:
        inputs = normalize_batch(images, localizer.preprocessing)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        if masks is None:
            return lesion_activation_maps(network, localizer.layers[0], inputs)
        with torch.no_grad():
            return torch.sigmoid(masks(inputs)[:, 0])

    found: list[npt.NDArray[np.float32]] = []
    for start in range(0, len(squares), batch_size):
        batch = _resize(squares[start : start + batch_size], localizer.preprocessing).to(device)
        maps = mean_over_poses(maps_of_images, batch, FLIPS)
        found += list(maps.float().cpu().numpy())
    return found
