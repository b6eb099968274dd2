"""Restriction of predictions to some classes: the model chooses only among them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from skin_lesions.data.tables import balanced_column, probability_column
from skin_lesions.models.postprocessing.probabilities import Decision


def restrict_to_classes(
    predictions: pd.DataFrame, classes: Sequence[str], decision: Decision
) -> pd.DataFrame:
    """Return the predictions as if the model had only these classes.

    Renormalizing a softmax over some classes gives the softmax of their logits. The images must
    have labels among these classes.

    Args:
        predictions: One row per image; label, ``p_<class>`` and ``p_balanced_<class>``.
        classes: The classes, in the order of the model; at least one.
        decision: Which probabilities decide the predicted class.

    Returns:
        The same rows with renormalized probabilities and new predictions. Columns of other classes
        are left out, and those of prediction sets, which are not defined for fewer classes.
    """
    restricted = {}
    for column in (probability_column, balanced_column):
        values = predictions[[column(name) for name in classes]].to_numpy(np.float64)  # (n, k)
        total = values.sum(axis=1, keepdims=True)
        # All probabilities can be 0 after rounding: then nothing distinguishes the classes.
        values = np.where(total > 0, values / np.where(total > 0, total, 1), 1 / len(classes))
        restricted[column] = values
    decisive = restricted[balanced_column if decision == "balanced" else probability_column]
    keys = ["file", "image_id", "group_id", "split", "label", "is_leaked"]
    return pd.concat(
        [
            predictions[keys].assign(predicted=np.array(classes, object)[decisive.argmax(axis=1)]),
            *(
                pd.DataFrame(values, columns=list(map(column, classes)), index=predictions.index)
                for column, values in restricted.items()
            ),
        ],
        axis=1,
    )
