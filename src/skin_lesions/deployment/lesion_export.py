"""Export of the network of a localizer to ONNX, and its comparison with the original one."""

import logging

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skin_lesions import __version__
from skin_lesions.config.export import Export
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.onnx_export import METADATA, PixelNormalization, export_graph
from skin_lesions.deployment.onnx_session import open_session
from skin_lesions.models.localization.decoder import MaskNetwork
from skin_lesions.models.localization.localizer import LesionDetector, mask_network
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.localization.poses import FLIPS, from_pose, to_pose
from skin_lesions.models.onnx_names import IMAGES, LESION_PROBABILITIES

log = logging.getLogger(__name__)

_BATCH_SIZE = 8  # images of the comparison


class LesionGraph(nn.Module):
    """Everything between the pixels of an image and the soft mask of its lesions.

    The input is (n, size, size, 3) uint8, RGB. The output is (n, g, g): the mean probability over
    mirrored images and half turns, as ``LesionDetector.maps`` computes it.
    """

    def __init__(self, masks: MaskNetwork, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.masks, self.normalization = masks, PixelNormalization(preprocessing)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the probabilities."""
        inputs = self.normalization(images)
        # All poses are one batch, so that the graph contains the network only once.
        poses = torch.cat([to_pose(inputs, pose) for pose in FLIPS])
        maps = torch.sigmoid(self.masks(poses)[:, 0]).unflatten(0, (len(FLIPS), -1))
        upright = [from_pose(maps[i], pose) for i, pose in enumerate(FLIPS)]
        return torch.stack(upright).mean(dim=0)


def export_localizer(localizer: Localizer, network: nn.Module | None) -> bytes | None:
    """Return the content of an ONNX file with the network of a localizer.

    Args:
        localizer: The localizer.
        network: Network of its classifier; None as in ``LesionDetector``.

    Returns:
        The content; None for a constant box, which needs no network.

    Raises:
        InputError: The localizer has no network of its own, torch cannot export it, or the required
            packages are missing.
    """
    if localizer.box is not None:
        return None
    if localizer.method == "cam":
        raise InputError(
            "A localizer with the method cam cannot be exported, because its maps need gradients. "
            "Fix: set localize.method=dense and run the pipeline localize again, or leave the "
            "localizer out with --params export.localizer=null"
        )
    graph = LesionGraph(mask_network(localizer, network), localizer.preprocessing).eval()
    program = export_graph(
        graph,
        localizer.preprocessing.image_size,
        [LESION_PROBABILITIES],
        f"The localizer for {localizer.architecture}",
    )
    for key, value in _metadata(localizer).items():
        program.model.metadata_props[METADATA + key] = value
    return program.model_proto.SerializeToString()


def _metadata(localizer: Localizer) -> dict[str, str]:
    """Return what a program needs to know about the file if it has no other file of the bundle."""
    size = localizer.preprocessing.image_size
    return {
        "architecture": localizer.architecture,
        "input": f"uint8 (n, {size}, {size}, 3), RGB, the complete image stretched to a square",
        "threshold": repr(localizer.threshold),
        "localizer_version": localizer.version,
        "package_version": __version__,
        "use": "Research software, not a medical device.",
    }


def check_localizer(
    content: bytes,
    localizer: Localizer,
    network: nn.Module | None,
    images: npt.NDArray[np.uint8],
    limits: Export,
) -> None:
    """Check that the soft masks of an exported localizer are those of the original one.

    Args:
        content: Content of the ONNX file.
        localizer: The original localizer.
        network: Network of its classifier; None as in ``LesionDetector``.
        images: Inputs, (n, image_size, image_size, 3) uint8.
        limits: Allowed differences.

    Raises:
        InputError: A difference is larger.
    """
    session = open_session(content)
    detector = LesionDetector(localizer, network, torch.device("cpu"))
    differences = []
    for batch in np.array_split(images, -(-len(images) // _BATCH_SIZE)):
        [found] = session.run([LESION_PROBABILITIES], {IMAGES: batch})
        differences.append(np.abs(found - np.stack(detector.maps(batch, _BATCH_SIZE))).max())
    largest = float(np.max(differences))  # unlike max(), it returns NaN if there is one
    if not largest <= limits.max_probability_difference:  # also true for NaN
        raise InputError(
            f"The exported localizer differs from the original one on "
            f"{pluralize(len(images), 'image')}: by up to {largest:.2g} in a probability. Expected "
            f"at most {limits.max_probability_difference:g} (export.max_probability_difference). "
            "Fix: install other versions of torch and onnxruntime, or set export.localizer=null"
        )
    log.info(
        "Exported localizer checked on %s: largest difference of a probability %.1e",
        pluralize(len(images), "image"),
        largest,
    )
