"""Coverage and size of conformal prediction sets."""

from collections.abc import Sequence

import numpy as np

from skin_lesions.evaluation.scorecard.arrays import Bools, PredictionArrays
from skin_lesions.evaluation.uncertainty.model import ConformalMetrics, SetMetrics
from skin_lesions.metrics.classification import Numbers
from skin_lesions.metrics.intervals import Estimate, proportion, unavailable, unite
from skin_lesions.metrics.linearization import linearized_error, mean_influence


def conformal_metrics(
    rows: PredictionArrays, sets: Sequence[Sequence[str]], target_coverage: float
) -> ConformalMetrics:
    """Compute the coverage and the size of the sets, overall and for the images of each class.

    Args:
        rows: The predictions.
        sets: The class names of the set of each image, in the order of ``rows``.
        target_coverage: The coverage that was chosen.

    Raises:
        ValueError: A set contains an unknown class.
    """
    members = membership(sets, rows.classes)
    return ConformalMetrics(
        target_coverage=target_coverage,
        overall=_set_metrics(members, rows.label, rows.group),
        per_class={
            name: _set_metrics(
                members[rows.label == c], rows.label[rows.label == c], rows.group[rows.label == c]
            )
            for c, name in enumerate(rows.classes)
        },
    )


def membership(sets: Sequence[Sequence[str]], classes: Sequence[str]) -> Bools:
    """Return whether each class is in each set, (n, k).

    Raises:
        ValueError: A set contains an unknown class.
    """
    sizes = [len(names) for names in sets]
    image = np.repeat(np.arange(len(sets)), sizes)  # (names,)
    names = [name for names in sets for name in names]
    number = {name: c for c, name in enumerate(classes)}
    unknown = sorted({name for name in names if name not in number})
    if unknown:
        raise ValueError(
            f"Unknown classes in column 'conformal_set' ({unknown}). Expected classes of the model."
        )
    members = np.zeros((len(sets), len(classes)), dtype=bool)
    members[image, [number[name] for name in names]] = True
    return members


def _set_metrics(members: Bools, label: Numbers, group: Numbers) -> SetMetrics:
    """Compute the metrics of n sets, (n, k), of images with these labels and groups, (n,)."""
    n, k = members.shape
    size = members.sum(axis=1)  # (n,)
    return SetMetrics(
        n=n,
        coverage=proportion(members[np.arange(n), label], group),
        mean_size=_mean_size(size, group, k),
        empty=proportion(size == 0, group),
        single=proportion(size == 1, group),
        sizes=tuple(np.bincount(size, minlength=k + 1).tolist()),
    )


def _mean_size(size: Numbers, group: Numbers, k: int) -> Estimate:
    if size.size == 0:
        return unavailable("no images")
    value = float(size.mean())
    interval = linearized_error(mean_influence(size), group).interval(value)
    return unite(value, size.size, [interval], highest=float(k))
