"""Whether probabilities mean what they say, and the temperature that makes them do so."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15
ROWS_PER_BIN = 10


def confidence_bins(confidence: ArrayLike) -> NDArray[np.intp]:
    """Sort confidences into bins of about equally many images.

    Equal numbers rather than equal widths: most confidences of a good network lie near 1, and
    bins of equal width would leave a few images alone in the others. Up to ``BINS`` bins, fewer
    where they would hold less than ``ROWS_PER_BIN``; equal confidences share a bin.

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
    """Return how far confidence and accuracy lie apart, averaged over the images (0 to 1).

    In each bin of ``confidence_bins``: the distance of mean confidence and share correct. Of
    few images it is too high on average, as chance alone sets the two apart.

    Args:
        confidence: The probability given to the predicted class, shape (n,), n at least 1.
        correct: Whether that class was right, shape (n,).

    Raises:
        ValueError: No image, or the shapes differ.

    Source:
        Naeini et al. (2015), doi:10.1609/aaai.v29i1.9602.
    """
    values, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if values.ndim != 1 or values.size == 0 or values.shape != right.shape:
        raise ValueError(
            f"confidence and correct need one entry per image, got {values.shape}, {right.shape}"
        )
    gaps = np.bincount(confidence_bins(values), weights=right - values)
    return float(np.abs(gaps).sum() / values.size)
