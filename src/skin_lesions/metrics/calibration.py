"""Calibration: confidence bins and the expected calibration error."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15
ROWS_PER_BIN = 10


def confidence_bins(confidence: ArrayLike) -> NDArray[np.intp]:
    """Assign confidences to bins with about the same number of images.

    Most confidences of a good network are near 1, so most bins of equal width would hold only a
    few images. There are up to ``BINS`` bins, and fewer if a bin would hold less than
    ``ROWS_PER_BIN`` images. Equal confidences are in the same bin.

    Args:
        confidence: Probabilities, shape (n,), n at least 1.

    Returns:
        The bin of each image, 0 to ``BINS`` - 1, shape (n,).

    Source:
        Nguyen and O'Connor (2015), arXiv:1508.05154 (adaptive binning).
    """
    values = np.asarray(confidence, dtype=np.float64)
    bins = min(BINS, max(1, values.size // ROWS_PER_BIN))
    edges = np.quantile(values, np.arange(1, bins) / bins)
    return np.searchsorted(edges, values, side="right")


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Return the expected calibration error: mean distance of confidence and accuracy (0 to 1).

    The distance is the absolute difference of mean confidence and accuracy in each bin of
    ``confidence_bins``, averaged over the images. For few images it is too high on average,
    because the two differ by chance.

    Args:
        confidence: The probability of the predicted class, shape (n,), n at least 1.
        correct: Whether the prediction is correct, shape (n,).

    Raises:
        ValueError: No image, or the shapes differ.

    Source:
        Naeini et al. (2015), doi:10.1609/aaai.v29i1.9602.
    """
    values, is_correct = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if values.ndim != 1 or values.size == 0 or values.shape != is_correct.shape:
        raise ValueError(
            f"Invalid confidence or correct (shapes {values.shape} and {is_correct.shape}). "
            "Expected one entry per image."
        )
    # Per bin: images times (accuracy - mean confidence).
    gaps = np.bincount(confidence_bins(values), weights=is_correct - values)
    return float(np.abs(gaps).sum() / values.size)
