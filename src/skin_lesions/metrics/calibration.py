"""Calibration: confidence bins, expected and class-wise calibration error."""

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


def class_calibration_error(probability: ArrayLike, is_class: ArrayLike) -> float:
    """Return the calibration error of one class: mean distance of probability and frequency.

    Unlike ``expected_calibration_error``, it uses the probability of the class for every image, not
    only for images that are predicted as the class. The bins are those of ``confidence_bins``. The
    mean over the classes is the class-wise calibration error. Kull et al. and Nixon et al. (static
    calibration error) use bins of equal width; bins of equal size are the adaptive ones of Nixon et
    al.

    Args:
        probability: The probability of the class, shape (n,), n at least 1.
        is_class: Whether the image is of the class, shape (n,).

    Source:
        Kull et al. (2019), arXiv:1910.12656; Nixon et al. (2019), arXiv:1904.01685.
    """
    return expected_calibration_error(probability, is_class)
