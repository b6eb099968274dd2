"""Classification metrics with bootstrap weights: balanced accuracy and macro-F1."""

import numpy as np
from numpy.typing import NDArray

from skin_lesions.metrics.bootstrap import row_sums

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]
Weights = NDArray[np.int32]


def macro_metrics(
    label: Numbers, predicted: Numbers, classes: int, weights: Weights
) -> dict[str, Floats]:
    """Return balanced accuracy and macro-F1 for each column of the weights.

    Both are means over the classes that have images (see ``scorecard.compute_metrics``).

    Args:
        label: The class number of each row, shape (n,).
        predicted: The predicted class number of each row, shape (n,).
        classes: The number of classes, k.
        weights: How often each row counts, shape (n, b). Every class in ``label`` must have a
            total weight above 0.

    Returns:
        ``balanced_accuracy`` and ``macro_f1``, each of shape (b,).
    """
    # One confusion matrix per replicate: (classes, classes, b), rows are labels.
    cells = row_sums(label * classes + predicted, classes**2) @ weights
    counts = cells.reshape(classes, classes, -1)
    present = np.unique(label)
    hits = counts[present, present]
    # (present, b): images with the label, and images predicted as the class.
    labeled, predicted_as = counts.sum(axis=1)[present], counts.sum(axis=0)[present]
    return {
        "balanced_accuracy": (hits / labeled).mean(axis=0),
        "macro_f1": (2 * hits / (labeled + predicted_as)).mean(axis=0),
    }
