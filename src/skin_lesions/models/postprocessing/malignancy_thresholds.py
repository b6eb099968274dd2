"""Thresholds of malignant against benign, chosen on validation images.

Each threshold reaches a stated sensitivity or specificity on the validation images. Test images
then show which sensitivity and specificity it reaches on other images.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skin_lesions.core.text import pluralize
from skin_lesions.data.diagnoses import MalignantClasses

log = logging.getLogger(__name__)
Criterion = Literal["sensitivity", "specificity"]
# Guards products such as 0.95 * 20 against rounding errors before they are rounded up or down.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class MalignancyThreshold:
    """A threshold of the malignancy score. Images with at least this score count as malignant.

    Attributes:
        criterion: What it was chosen for.
        target: The value of the criterion that it reaches at least on the validation images.
        threshold: The threshold, 0 to 1.
        sensitivity: Fraction of the malignant validation images with at least this score.
        specificity: Fraction of the benign validation images with a lower score.
    """

    criterion: Criterion
    target: float
    threshold: float
    sensitivity: float
    specificity: float


@dataclass(frozen=True, kw_only=True)
class MalignancyThresholds:
    """All thresholds of a model.

    Attributes:
        malignant_classes: The classes whose probabilities are summed to the score.
        excluded_classes: Classes whose validation images were left out.
        malignant: Number of malignant validation images.
        benign: Number of benign validation images.
        thresholds: The thresholds.
    """

    malignant_classes: tuple[str, ...]
    excluded_classes: tuple[str, ...]
    malignant: int
    benign: int
    thresholds: tuple[MalignancyThreshold, ...]


def malignancy_score(
    probabilities: NDArray[np.float64], classes: MalignantClasses
) -> NDArray[np.float64]:
    """Return the summed probability of the malignant classes of each image, (n, k) -> (n,)."""
    return np.asarray(probabilities[:, classes.is_malignant].sum(axis=1), np.float64)


def fit_malignancy_thresholds(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.intp],
    classes: MalignantClasses,
    targets: Sequence[float],
) -> MalignancyThresholds | None:
    """Choose a threshold for each sensitivity and each specificity in ``targets``.

    Args:
        probabilities: Calibrated probabilities of the validation images, (n, k).
        labels: Class number of each image, (n,).
        classes: Which classes are malignant.
        targets: Fractions, as in ``evaluate.operating_points``.

    Returns:
        The thresholds; None if the images are not both malignant and benign.
    """
    known = classes.is_known[labels]  # (n,)
    score = malignancy_score(probabilities, classes)[known]
    malignant = classes.is_malignant[labels][known]
    if malignant.all() or not malignant.any():
        log.warning(
            "No malignancy threshold was chosen, because the validation images are not of "
            "malignant and of benign diagnoses"
        )
        return None
    choices: list[tuple[Criterion, float, float]] = []
    for target in targets:
        choices.append(("sensitivity", target, _for_sensitivity(score, malignant, target)))
        choices.append(("specificity", target, _for_specificity(score, malignant, target)))
    for kind, n in (("malignant", malignant.sum()), ("benign", (~malignant).sum())):
        if n * (1 - max(targets)) < 1:
            log.warning(
                "%s determine the %s threshold for %g %%: all of them are on one side of it",
                pluralize(int(n), f"{kind} validation image"),
                "sensitivity" if kind == "malignant" else "specificity",
                100 * max(targets),
            )
    return MalignancyThresholds(
        malignant_classes=classes.malignant,
        excluded_classes=classes.excluded,
        malignant=int(malignant.sum()),
        benign=int((~malignant).sum()),
        thresholds=tuple(
            MalignancyThreshold(
                criterion=criterion,
                target=target,
                threshold=threshold,
                sensitivity=float((score[malignant] >= threshold).mean()),
                specificity=float((score[~malignant] < threshold).mean()),
            )
            for criterion, target, threshold in choices
        ),
    )


def _for_sensitivity(
    score: NDArray[np.float64], malignant: NDArray[np.bool_], target: float
) -> float:
    """Return the highest threshold with at least this sensitivity."""
    ranked = np.sort(score[malignant])[::-1]
    needed = math.ceil(target * ranked.size - _ROUNDING)
    lowest = ranked[needed - 1]  # the lowest score that must be at least the threshold
    return _halfway(np.max(score[score < lowest], initial=0.0), lowest)


def _for_specificity(
    score: NDArray[np.float64], malignant: NDArray[np.bool_], target: float
) -> float:
    """Return the lowest threshold with at least this specificity."""
    ranked = np.sort(score[~malignant])
    needed = math.ceil(target * ranked.size - _ROUNDING)
    highest = ranked[needed - 1]  # the highest score that must be below the threshold
    return _halfway(highest, np.min(score[score > highest], initial=np.nextafter(1.0, 2.0)))


def _halfway(low: float, high: float) -> float:
    """Return a threshold between two neighboring scores: ``low`` is below it, ``high`` is not.

    Halfway, so that rounding errors of another device do not move an image to the other side.
    """
    middle = float(low + (high - low) / 2)
    return middle if middle > low else float(high)
