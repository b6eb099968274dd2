"""Computation of the metrics of one split."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from skin_lesions.evaluation.scorecard import registry
from skin_lesions.evaluation.scorecard.arrays import PredictionArrays, prediction_arrays
from skin_lesions.evaluation.scorecard.calibration_error import calibration_metrics
from skin_lesions.evaluation.scorecard.malignancy import malignancy_metrics
from skin_lesions.evaluation.scorecard.metric import Evaluation
from skin_lesions.evaluation.scorecard.model import ClassMetrics, ConfusionMatrix, SplitMetrics
from skin_lesions.metrics.classification import Floats


def compute_metrics(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    seed: int,
    *,
    malignant_classes: Sequence[str] | None = None,
    temperature: float | None = None,
    log_prior: Floats | None = None,
) -> SplitMetrics:
    """Compute the metrics of the predictions of one split.

    Accuracy, sensitivity, specificity, and the recall, precision and F1 of a class have Wilson
    intervals at the effective number of images. The other metrics have intervals by linearization
    over groups, with t quantiles (see ``metrics.linearization``). For means over classes and for
    AUROC they are united with intervals that are valid for small classes. The calibration error
    has no interval. Values that cannot be computed are None with a reason.

    - ``balanced_accuracy``: mean recall of the classes that have images here, as
      scikit-learn's ``balanced_accuracy_score``.
    - ``macro_f1``: mean F1 of the same classes, as scikit-learn's ``f1_score`` with
      ``average="macro"`` and ``labels`` set to them. Without ``labels``, scikit-learn would also
      count each class that was only predicted, with an F1 of 0.
    - ``auroc_macro``: mean of the one-vs-rest AUROC of the same classes.
    - ``log_loss``: nats per image. ``brier``: squared distance to the true class, summed over
      the classes, 0 to 2. ``expected_calibration_error``: of the predicted class, 0 to 1.
    - ``classwise_calibration_error``: mean calibration error of all classes, 0 to 1.
    - ``calibration``: the calibration errors by chance, mean confidence minus accuracy, and the
      errors before temperature scaling.
    - ``malignant``: malignant diagnoses against the other known ones; premalignant ones count as
      benign. Sensitivity and specificity use whether the predicted class is malignant.

    Each mean over classes has the number of its classes, ``classes_evaluated``.

    Args:
        predictions: One row per image; requires ``group_id``, ``label``, ``predicted`` and
            ``p_<class>`` for each class. Log loss, Brier score, calibration, AUROC and average
            precision use these probabilities, which are for the class frequencies of the training
            images. All other metrics use ``predicted``, which follows ``train.decision``.
        classes: The class names, in the order of the model.
        seed: Seed of the simulated calibration errors.
        malignant_classes: The malignant classes; None: those of the table of diagnoses.
        temperature: The fitted temperature of the probabilities; None leaves the calibration before
            temperature scaling out.
        log_prior: Logarithm of the class frequencies that was added to the logits after the
            temperature, (k,); None if none was.

    Raises:
        ValueError: No rows, rows of several splits, a missing column, a label or prediction
            that is not in ``classes``, or invalid probabilities.
        InputError: A malignant class is not in ``classes``.
    """
    rows = prediction_arrays(predictions, classes, malignant_classes)
    per_class = [
        {metric.key: metric.estimate(rows, c) for metric in registry.CLASS_METRICS}
        for c in range(len(classes))
    ]
    evaluation = Evaluation(rows=rows, per_class=per_class)
    overall = {metric.key: metric.estimate(evaluation) for metric in registry.METRICS}
    correct = np.bincount(rows.label[rows.correct], minlength=len(classes))  # (k,)
    return SplitMetrics(
        n=rows.n,
        groups=int(np.unique(rows.group).size),
        per_class={
            name: ClassMetrics(support=int(support), correct=int(n), **estimates)
            for name, support, n, estimates in zip(
                rows.classes, rows.support, correct, per_class, strict=True
            )
        },
        confusion=_confusion(rows),
        calibration=calibration_metrics(rows, seed, temperature, log_prior),
        malignant=malignancy_metrics(rows),
        **overall,
    )


def _confusion(rows: PredictionArrays) -> ConfusionMatrix:
    counts = np.zeros((len(rows.classes), len(rows.classes)), dtype=np.intp)
    np.add.at(counts, (rows.label, rows.predicted), 1)
    return ConfusionMatrix(classes=rows.classes, counts=tuple(map(tuple, counts.tolist())))
