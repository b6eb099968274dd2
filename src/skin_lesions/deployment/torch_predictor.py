"""Predictor of a model file, with torch."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.core.versions import file_version
from skin_lesions.data.decoding import decode
from skin_lesions.data.preprocessing import normalize_batch, resize_batch
from skin_lesions.deployment.lesions import FoundLesions
from skin_lesions.deployment.predictor import ModelDescription
from skin_lesions.deployment.torch_lesions import TorchLesionFinder
from skin_lesions.models.devices import choose_device, device_label, limit_threads
from skin_lesions.models.features import record_features
from skin_lesions.models.inference import load_network, outputs_of_inputs
from skin_lesions.models.localization.localizer_file import read_localizer
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.localization.stored_localizers import check_no_other_localizer
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
        localizer: Finds the lesions; None: the predictions have no boxes. A model of crops has its
            own.

    Raises:
        InputError: The device is not available, the weights do not match the architecture, the
            localizer belongs to another model, or a model of crops gets another localizer.
    """

    def __init__(
        self, model: TrainedModel, device: str, localizer: Localizer | None = None
    ) -> None:
        self._description = ModelDescription.of(model, localizer.version if localizer else None)
        self._tta = model.test_time_augmentation
        self._device = choose_device(device, "predict.device")
        limit_threads()
        network = load_network(model).eval().to(self._device)
        self._network = network.to(memory_format=torch.channels_last)
        self._lesion_finder = None
        if model.localizer is not None:
            check_no_other_localizer(localizer, model)
            own = model.localizer.with_version(model.version)
            self._lesion_finder = TorchLesionFinder(own, None, self._device)
        elif localizer is not None:
            self._lesion_finder = TorchLesionFinder(localizer, self._network, self._device)

    @property
    def description(self) -> ModelDescription:
        """The description of the model."""
        return self._description

    @property
    def lesion_finder(self) -> TorchLesionFinder | None:
        """The localizer, or None."""
        return self._lesion_finder

    def read(self, data: bytes) -> npt.NDArray[np.uint8]:
        """Decode and resize an image file; see ``Predictor.read``."""
        preprocessing = self._description.preprocessing
        image = decode(data, preprocessing.stored_image_size)
        if self._description.has_crops:
            return image.pixels
        aspect = image.width / image.height
        resized = resize_batch(image.pixels[None], [aspect], preprocessing)
        return resized[0].permute(1, 2, 0).numpy()

    def crop(self, square: npt.NDArray[np.uint8], lesions: FoundLesions) -> npt.NDArray[np.uint8]:
        """Return the input of a model of crops; see ``Predictor.crop``."""
        preprocessing = self._description.preprocessing
        resized = resize_batch(
            square[None], [lesions.aspect], preprocessing, lesions.main_box[None]
        )
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


def read_torch_predictor(
    path: Path, device: str, localizer_path: Path | None = None
) -> TorchPredictor:
    """Load the predictor of a model file. No code in the files is executed.

    Args:
        path: Model file.
        device: As in ``predict.device``.
        localizer_path: File of its localizer; None: the predictions have no boxes.

    Raises:
        InputError: A file is not valid, the localizer belongs to another model, or the device is
            not available.
    """
    localizer = None
    if localizer_path is not None:
        if not localizer_path.is_file():
            raise InputError(
                f"The localizer does not exist ({printable(localizer_path)}). Expected the file "
                "localizer.pth of kedro run --pipelines localize"
            )
        localizer = read_localizer(localizer_path).with_version(file_version(localizer_path))
    model = read_model(path).with_version(file_version(path))
    return TorchPredictor(model, device, localizer)
