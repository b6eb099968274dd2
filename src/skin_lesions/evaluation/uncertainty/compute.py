"""Computation of the uncertainty of the predictions of one split."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from skin_lesions.evaluation.scorecard.arrays import prediction_arrays
from skin_lesions.evaluation.uncertainty.conformal_sets import conformal_metrics
from skin_lesions.evaluation.uncertainty.model import UncertaintyMetrics
from skin_lesions.evaluation.uncertainty.selective_prediction import selective_metrics
from skin_lesions.models.postprocessing.referral import ReferralThreshold


def uncertainty_metrics(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    target_coverage: float,
    threshold: ReferralThreshold,
) -> UncertaintyMetrics:
    """Compute what the prediction sets and the confidence say about the errors of one split.

    Nothing is fitted: sets and threshold were fitted on validation images.

    Args:
        predictions: One row per image; requires ``conformal_set`` and the columns of
            ``compute_metrics``.
        classes: The class names, in the order of the model.
        target_coverage: The coverage that was chosen for the sets.
        threshold: The referral threshold.

    Raises:
        ValueError: As for ``compute_metrics``, or there are no valid sets.
    """
    rows = prediction_arrays(predictions, classes)
    if "conformal_set" not in predictions:
        raise ValueError(
            "Missing column 'conformal_set' in predictions. Fix: kedro run --pipelines evaluate"
        )
    return UncertaintyMetrics(
        n=rows.n,
        groups=int(np.unique(rows.group).size),
        conformal=conformal_metrics(rows, predictions["conformal_set"].tolist(), target_coverage),
        selective=selective_metrics(rows, threshold),
    )
