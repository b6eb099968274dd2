"""Export of a trained model to ONNX: normalization, test-time augmentation and network."""

import json
import warnings
from collections.abc import Sequence

import torch
from torch import nn

from skin_lesions import __version__
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.onnx_postprocessing import CalibratedSoftmax, UnknownScore
from skin_lesions.models.features import FeatureRecorder, record_features
from skin_lesions.models.inference import augmented_inputs, load_network
from skin_lesions.models.map_layers import MapLayer
from skin_lesions.models.onnx_names import (
    FEATURE_MAP,
    FEATURES,
    IMAGES,
    LOGITS,
    PROBABILITIES,
    UNKNOWN_SCORE,
)
from skin_lesions.models.pooled_maps import find_pooled_map
from skin_lesions.models.trained_model import TrainedModel

METADATA = "skin_lesions."  # prefix of the keys of the metadata
_EXAMPLES = 2  # images in the example input; 1 would be taken for a constant


class PixelNormalization(nn.Module):
    """Images (n, size, size, 3) uint8 to normalized images (n, 3, size, size) float32."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        # As in data.preprocessing: scaled from 0..1 to 0..255.
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preprocessing, name))
            self.register_buffer(name, values.view(1, -1, 1, 1) * 255)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return ``(images - mean) / std``."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.std


class InferenceGraph(nn.Module):
    """Everything between the pixels of an image and its probabilities.

    The input is (n, size, size, 3) uint8, RGB. With n images, the outputs are:

    - logits, (n, classes): the mean over the poses of test-time augmentation
    - probabilities, (n, classes): calibrated, for the class frequencies of the training images
    - unknown score, (n,)
    - penultimate features of the first pose, (n, features)
    - last feature map of the first pose, (n, features, h, w), if there is a layer with it
    """

    def __init__(
        self,
        model: TrainedModel,
        network: nn.Module,
        recorder: FeatureRecorder,
        layer: MapLayer | None,
    ) -> None:
        super().__init__()
        self.network, self._recorder, self._layer = network, recorder, layer
        self._tta = model.test_time_augmentation
        self.probabilities = CalibratedSoftmax(model.postprocessing)
        self.unknown_score = UnknownScore(model.postprocessing.unknown_score.statistics)
        self.normalization = PixelNormalization(model.preprocessing)
        self._maps: list[torch.Tensor] = []
        if layer is not None:
            module = network.get_submodule(layer.name)
            module.register_forward_hook(lambda _module, _inputs, out: self._maps.append(out))

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in order."""
        names = [LOGITS, PROBABILITIES, UNKNOWN_SCORE, FEATURES]
        return names if self._layer is None else [*names, FEATURE_MAP]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs."""
        n = images.shape[0]
        x = self.normalization(images)
        poses = augmented_inputs(x, self._tta)
        # All poses are one batch, so that the graph contains the network only once.
        logits = self.network(torch.cat(poses) if len(poses) > 1 else x)  # (poses * n, classes)
        logits = logits.unflatten(0, (len(poses), n)).mean(dim=0)
        features = self._recorder.pop()[:n]  # the first pose is the image itself
        scores = self.unknown_score(logits, features)
        outputs = [logits, self.probabilities(logits), scores, features]
        if self._layer is not None:
            outputs.append(self._layer.to_map(self._maps.pop())[:n])
        return tuple(outputs)


def export_onnx(model: TrainedModel) -> bytes:
    """Return the content of an ONNX file with the network of a model, for any number of images.

    Raises:
        InputError: torch cannot export this architecture, or the required packages are missing.
    """
    network = load_network(model).eval()
    layer = find_pooled_map(network, model.preprocessing.image_size)
    with record_features(network) as recorder:
        graph = InferenceGraph(model, network, recorder, layer).eval()
        program = export_graph(
            graph, model.preprocessing.image_size, graph.output_names, model.architecture
        )
    for key, value in _metadata(model).items():
        program.model.metadata_props[METADATA + key] = value
    return program.model_proto.SerializeToString()


def export_graph(
    graph: nn.Module, image_size: int, output_names: Sequence[str], name: str
) -> torch.onnx.ONNXProgram:
    """Export a graph of images (n, image_size, image_size, 3) uint8, for any n.

    Args:
        graph: The graph in evaluation mode.
        image_size: Width and height of the images, pixels.
        output_names: Names of its outputs, in order.
        name: What is exported, at the start of an error message.

    Raises:
        InputError: torch cannot export it, or the required packages are missing.
    """
    example = torch.zeros(_EXAMPLES, image_size, image_size, 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about internals of torch.export
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                input_names=[IMAGES],
                output_names=list(output_names),
                dynamic_shapes={IMAGES: {0: torch.export.Dim("batch", min=1)}},
                external_data=False,
                verbose=False,
            )
    except ModuleNotFoundError as error:
        raise InputError(
            f"The export to ONNX requires {error.name}, which is not installed. Fix: install the "
            "extra export: pip install -c requirements.lock -e '.[export]'"
        ) from None
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        reason = next(iter(str(error.__cause__ or error).splitlines()), type(error).__name__)
        raise InputError(
            f"{printable(name)} cannot be exported to ONNX with torch "
            f"{torch.__version__} ({printable(reason)}). Fix: train another architecture, for "
            "example with --params train.architecture=efficientnet_b0"
        ) from error
    if program is None:  # only with dynamo=False
        raise TypeError("torch.onnx.export returned no program")
    return program


def _metadata(model: TrainedModel) -> dict[str, str]:
    """Return what a program needs to know about the file if it has no other file of the bundle."""
    preprocessing = model.preprocessing
    return {
        "architecture": model.architecture,
        "classes": json.dumps(model.classes, ensure_ascii=False),
        "input": f"uint8 (n, {preprocessing.image_size}, {preprocessing.image_size}, 3), RGB",
        "test_time_augmentation": model.test_time_augmentation,
        "temperature": repr(model.postprocessing.calibration.temperature),
        "model_version": model.version,
        "package_version": __version__,
        "synthetic_images": json.dumps(model.provenance.origin.is_synthetic),
        "use": "Research software, not a medical device.",
    }
