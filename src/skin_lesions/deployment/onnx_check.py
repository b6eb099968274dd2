"""Comparison of an exported network with the original one, on equal pixels."""

import logging
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from skin_lesions.config.export import Export
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.loader import build_dataset
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.tables import SplitTable
from skin_lesions.deployment.onnx_session import open_session
from skin_lesions.deployment.torch_predictor import TorchPredictor
from skin_lesions.models.onnx_names import IMAGES, PROBABILITIES, UNKNOWN_SCORE
from skin_lesions.models.postprocessing.probabilities import class_probabilities
from skin_lesions.models.postprocessing.unknown_score import UnknownScorer
from skin_lesions.models.trained_model import TrainedModel

log = logging.getLogger(__name__)

Images = npt.NDArray[np.uint8]
_BATCH_SIZE = 8  # images; with test-time augmentation, the network gets up to 8 times as many
_SEED = 0  # of random images


def images_to_compare(
    preprocessing: Preprocessing, split_table: SplitTable, pixel_store: PixelStore, limit: int
) -> Images:
    """Return inputs of the network from the pixel store, or random ones if it has none.

    Args:
        preprocessing: Preprocessing of the network.
        split_table: Rows of the images; those are taken at equal distances.
        pixel_store: Decoded images.
        limit: Maximum number of images.

    Returns:
        (n, image_size, image_size, 3) uint8.
    """
    stored = pixel_store.at(preprocessing.stored_image_size)
    index = stored.index
    readable = index.index[index["row"] >= 0]
    rows = split_table.frame[split_table.frame["image_id"].isin(readable)].sort_values("file")
    if rows.empty:
        size = preprocessing.image_size
        shape = (limit, size, size, 3)
        log.info("No stored images: the exported network is compared on random images")
        return np.random.default_rng(_SEED).integers(0, 256, shape).astype(np.uint8)
    positions = np.linspace(0, len(rows) - 1, min(limit, len(rows))).round().astype(np.int64)
    labels = sorted(rows["label"].unique())
    # The networks are compared on complete images, also if they classify crops of lesions.
    complete = replace(preprocessing, lesion_margin=None)
    dataset = build_dataset(rows.iloc[positions], labels, stored, complete)
    images, _ = dataset.get_batch(np.arange(len(dataset)))  # (n, 3, size, size)
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def check_onnx(network: bytes, model: TrainedModel, images: Images, limits: Export) -> None:
    """Check that probabilities and unknown scores are those of the original network.

    Args:
        network: Content of the ONNX file.
        model: The original model.
        images: Inputs, (n, image_size, image_size, 3) uint8.
        limits: Allowed differences.

    Raises:
        InputError: A difference is larger. The message has the largest one.
    """
    session, predictor = open_session(network), TorchPredictor(model, "cpu")
    fitted = model.postprocessing
    scorer = UnknownScorer(fitted.unknown_score.statistics)
    of_probabilities, of_scores, scores = [], [], []
    for batch in np.array_split(images, -(-len(images) // _BATCH_SIZE)):
        found = session.run([PROBABILITIES, UNKNOWN_SCORE], {IMAGES: batch})
        outputs = predictor.outputs(batch)
        expected = class_probabilities(
            outputs.logits, fitted.calibration.temperature, fitted.frequencies
        )
        scores.append(scorer.scores(outputs.logits, outputs.features))  # (batch,)
        of_probabilities.append(np.abs(found[0] - expected.frequency).max())
        of_scores.append(np.abs(found[1] - scores[-1]).max())
    of_probability = np.max(of_probabilities)  # unlike max(), it returns NaN if there is one
    highest = np.abs(np.concatenate(scores)).max()
    relative = np.max(of_scores) / max(highest, float(np.finfo(np.float32).tiny))
    # A comparison with NaN is false, so the differences are required to be small.
    if not (
        of_probability <= limits.max_probability_difference
        and relative <= limits.max_unknown_score_difference
    ):
        raise InputError(
            f"The exported network ({printable(model.architecture)}) differs from the original one "
            f"on {pluralize(len(images), 'image')}: by up to {of_probability:.2g} in a probability "
            f"and {relative:.2g} in the unknown score. Expected at most "
            f"{limits.max_probability_difference:g} and {limits.max_unknown_score_difference:g} "
            "(export.max_probability_difference, export.max_unknown_score_difference). Fix: "
            "install other versions of torch and onnxruntime, or train another architecture"
        )
    log.info(
        "ONNX network checked on %s: largest difference of a probability %.1e, of the unknown "
        "score %.1e (relative)",
        pluralize(len(images), "image"),
        of_probability,
        relative,
    )
