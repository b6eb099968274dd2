"""Predictor of a model file, with torch."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.data.decoding import decode
from skin_lesions.data.preprocessing import normalize_batch, resize_batch
from skin_lesions.deployment.predictor import ModelDescription
from skin_lesions.models.devices import choose_device, device_label, limit_threads
from skin_lesions.models.features import record_features
from skin_lesions.models.inference import load_network, outputs_of_inputs
from skin_lesions.models.model_file import read_model
from skin_lesions.models.network_outputs import NetworkOutputs
from skin_lesions.models.trained_model import TrainedModel

# Images that a CPU computes at once. The C library returns larger activations to the system after
# each layer, which clears the pages again for the next one. EfficientNet-Lite0 at 192 pixels takes
# 1.8 times the CPU time in batches of 32.
_CPU_BATCH = 8


class TorchPredictor:
    """A trained model on a device. Its results are those of the pipeline ``evaluate``.

    Args:
        model: The model; its test-time augmentation is used.
        device: As in ``predict.device``.

    Raises:
        InputError: The device is not available, or the weights do not match the architecture.
    """

    def __init__(self, model: TrainedModel, device: str) -> None:
        self._description = ModelDescription.of(model)
        self._tta = model.test_time_augmentation
        self._device = choose_device(device, "predict.device")
        limit_threads()
        network = load_network(model).eval().to(self._device)
        self._network = network.to(memory_format=torch.channels_last)

    @property
    def description(self) -> ModelDescription:
        """The description of the model."""
        return self._description

    def read(self, data: bytes) -> npt.NDArray[np.uint8]:
        """Decode and resize an image file; see ``Predictor.read``."""
        preprocessing = self._description.preprocessing
        image = decode(data, preprocessing.stored_image_size)
        aspect = image.width / image.height
        resized = resize_batch(image.pixels[None], [aspect], preprocessing)
        return resized[0].permute(1, 2, 0).numpy()

    @torch.inference_mode()
    def outputs(self, images: npt.NDArray[np.uint8]) -> NetworkOutputs:
        """Run the network; see ``Predictor.outputs``.

        Raises:
            InputError: The memory of the GPU is too small.
        """
        size = _CPU_BATCH if self._device.type == "cpu" else len(images)
        found = [self._batch(images[i : i + size]) for i in range(0, len(images), size)]
        return NetworkOutputs(
            logits=np.concatenate([batch.logits for batch in found]),
            features=np.concatenate([batch.features for batch in found]),
        )

    def _batch(self, images: npt.NDArray[np.uint8]) -> NetworkOutputs:
        try:
            batch = torch.from_numpy(images).permute(0, 3, 1, 2).to(self._device)
            inputs = normalize_batch(batch, self._description.preprocessing)
            with record_features(self._network) as recorder:
                return outputs_of_inputs(self._network, inputs, self._tta, recorder)
        except torch.cuda.OutOfMemoryError:
            raise InputError(
                f"Out of memory on {device_label(self._device)}: {len(images)} images of "
                f"{images.shape[1]} pixels at once. Lower predict.batch_size (--batch-size)"
            ) from None


def read_torch_predictor(path: Path, device: str) -> TorchPredictor:
    """Load the predictor of a model file. No code in the file is executed.

    Raises:
        InputError: The file is not a valid model file, or the device is not available.
    """
    return TorchPredictor(read_model(path).with_version(model_version(path)), device)


def model_version(path: Path) -> str:
    """Return the catalog version of a model file, or the start of its sha256 elsewhere.

    The catalog stores a model as ``<name>/<version>/<name>``.
    """
    if len(path.parents) > 1 and path.parents[1].name == path.name:
        return path.parent.name
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
