"""The classes of a table of predictions."""

import pandas as pd

_PREFIX, _BALANCED = "p_", "balanced_"


def predicted_classes(predictions: pd.DataFrame) -> tuple[str, ...]:
    """Return the classes that have a probability column ``p_<class>``, in the order of the model.

    Columns ``p_balanced_<class>`` contain other probabilities of the same classes.
    """
    names = [str(column) for column in predictions.columns]
    classes = [name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)]
    known = set(classes)
    return tuple(
        name
        for name in classes
        if not (name.startswith(_BALANCED) and name.removeprefix(_BALANCED) in known)
    )
