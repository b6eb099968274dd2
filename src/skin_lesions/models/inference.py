"""Inference: outputs of a network for images, with optional test-time augmentation."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import ImageDataset, build_dataset, sequential_batches
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing import normalize_batch
from skin_lesions.models.devices import choose_device, device_label, limit_threads
from skin_lesions.models.features import FeatureRecorder, record_features
from skin_lesions.models.localization.lesion_boxes import locate_main_lesions
from skin_lesions.models.network_outputs import NetworkOutputs
from skin_lesions.models.networks import build_network
from skin_lesions.models.postprocessing.unknown_score import UnknownScorer, UnknownStatistics
from skin_lesions.models.precision import autocast
from skin_lesions.models.trained_model import TestTimeAugmentation, UncalibratedModel


def predict_logits(
    network: nn.Module,
    images: ImageDataset,
    batch_size: int,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    tta: TestTimeAugmentation = "none",
) -> npt.NDArray[np.float64]:
    """Run the network on all images, in the order of the dataset.

    Args:
        network: Network on ``device``.
        images: Images to predict.
        batch_size: Number of images per batch.
        device: Device of the computation.
        precision: Data type of most computations.
        tta: Test-time augmentation: the flips and rotations of an image whose logits are averaged.

    Returns:
        (n, classes) float64 logits; with test-time augmentation, their mean.

    Raises:
        InputError: The memory of the GPU is too small.
    """
    outputs = predict_outputs(network, images, batch_size, device, precision, tta)
    return np.concatenate([batch.logits for batch in outputs])


@torch.inference_mode()
def predict_outputs(
    network: nn.Module,
    images: ImageDataset,
    batch_size: int,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    tta: TestTimeAugmentation = "none",
    *,
    recorder: FeatureRecorder | None = None,
) -> Iterator[NetworkOutputs]:
    """Yield logits and features of each batch; see ``predict_logits``.

    The features of all images could need much memory, so they are yielded in batches. ``recorder``
    records those of this network.
    """
    network.eval()
    try:
        for batch, _ in images.iter_batches(sequential_batches(len(images), batch_size), device):
            inputs = normalize_batch(batch, images.preprocessing)
            with autocast(device, precision):
                yield outputs_of_inputs(network, inputs, tta, recorder)
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"Out of memory on {device_label(device)}: {batch_size} images of "
            f"{images.preprocessing.image_size} pixels at once. Lower evaluate.batch_size, or "
            "train.batch_size (validation during training uses twice its value)"
        ) from None


def outputs_of_inputs(
    network: nn.Module,
    inputs: torch.Tensor,
    tta: TestTimeAugmentation,
    recorder: FeatureRecorder | None,
) -> NetworkOutputs:
    """Return logits and features of one batch, in the current precision.

    Args:
        network: Network in evaluation mode.
        inputs: Normalized images on the device of the network, (n, 3, size, size).
        tta: As for ``predict_logits``.
        recorder: Recorder of the features of this network; None for no features.
    """
    logits, features = [], []
    for x in augmented_inputs(inputs, tta):
        logits.append(network(x).float())
        features.append(recorder.pop() if recorder else logits[-1][:, :0])
    return NetworkOutputs(
        # (augmentations, batch, classes) -> (batch, classes)
        logits=_to_numpy(torch.stack(logits).mean(dim=0)),
        features=_to_numpy(features[0]),  # the first pose is the image itself
    )


def _to_numpy(values: torch.Tensor) -> npt.NDArray[np.float64]:
    return values.cpu().numpy().astype(np.float64)


def augmented_inputs(inputs: torch.Tensor, tta: TestTimeAugmentation) -> list[torch.Tensor]:
    """Return the inputs (b, 3, h, w) in 1, 4 (flips) or 8 (flips and rotations) poses."""
    if tta == "none":
        return [inputs]
    # Quarter turns. A rotation by 180 degrees equals a horizontal and a vertical flip.
    turns = range(4) if tta == "flips_and_rotations" else (0, 2)
    rotated = [torch.rot90(inputs, turn, dims=(2, 3)) for turn in turns]
    return [*rotated, *(x.flip(3) for x in rotated)]


def model_outputs(
    model: UncalibratedModel,
    pixels: PixelStore,
    rows: pd.DataFrame,
    batch_size: int,
    device: str,
    *,
    augment: bool = True,
    transform: Callable[[ImageDataset], ImageDataset] | None = None,
) -> Iterator[NetworkOutputs]:
    """Yield the outputs of the rows of a table in batches, before calibration.

    Args:
        model: Its test-time augmentation is used, unless ``augment`` is False.
        pixels: Decoded images.
        rows: Rows with the columns image_id and label.
        batch_size: Number of images per batch.
        device: Device, as in ``evaluate.device``.
        augment: Whether to use the test-time augmentation of the model.
        transform: Function that returns the dataset with other images, such as corrupted ones.
    """
    chosen = choose_device(device)
    limit_threads()
    images = model_images(model, pixels, rows, batch_size, chosen)
    if transform is not None:
        images = transform(images)
    network = load_network(model).to(chosen).to(memory_format=torch.channels_last)
    tta = model.test_time_augmentation if augment else "none"
    with record_features(network) as recorder:
        yield from predict_outputs(network, images, batch_size, chosen, tta=tta, recorder=recorder)


def model_images(
    model: UncalibratedModel,
    pixels: PixelStore,
    rows: pd.DataFrame,
    batch_size: int,
    device: torch.device,
) -> ImageDataset:
    """Return the images of some rows as inputs of a model.

    Args:
        model: The model.
        pixels: Decoded images.
        rows: Rows with the columns image_id and label.
        batch_size: Images per batch of the localizer of a model of crops.
        device: Device of the localizer.
    """
    stored, boxes = pixels.at(model.preprocessing.stored_image_size), None
    if model.localizer is not None:
        image_ids = rows["image_id"].tolist()
        boxes = locate_main_lesions(model.localizer, stored, image_ids, batch_size, device)
    return build_dataset(rows, model.classes, stored, model.preprocessing, boxes=boxes)


def logits_and_unknown_scores(
    outputs: Iterable[NetworkOutputs], statistics: UnknownStatistics
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the logits of all batches, (n, classes), and their unknown scores, (n,).

    Only the features of one batch are in memory at a time.
    """
    scorer = UnknownScorer(statistics)
    logits, scores = [], []
    for batch in outputs:
        logits.append(batch.logits)
        scores.append(scorer.scores(batch.logits, batch.features))
    return np.concatenate(logits), np.concatenate(scores)


def load_network(model: UncalibratedModel) -> nn.Module:
    """Build the network of a model and load its weights.

    Raises:
        InputError: The weights do not match the architecture.
    """
    network = build_network(model.architecture, len(model.classes))
    try:
        network.load_state_dict(model.state_dict)
    except RuntimeError as error:
        # The first line of the message names only the class of the network.
        detail = str(error).splitlines()[-1].strip()
        raise InputError(
            f"The weights of the model do not match {model.architecture}: {detail}"
        ) from None
    return network
