"""Means over the classes: balanced accuracy, macro F1 and macro AUROC."""

from skin_lesions.evaluation.scorecard.arrays import Resample
from skin_lesions.evaluation.scorecard.metric import Evaluation, Metric
from skin_lesions.metrics.classification import Floats
from skin_lesions.metrics.intervals import Estimate, unavailable


def _mean_auroc(sample: Resample) -> Floats | None:
    return sample.class_aurocs.mean(axis=0) if sample.rows.class_ranks else None


def _auroc_estimate(evaluation: Evaluation) -> Estimate:
    if not evaluation.rows.class_ranks:
        return unavailable("all images are of one class", evaluation.rows.n)
    return evaluation.class_mean("auroc_macro", "auroc")


BALANCED_ACCURACY = Metric(
    key="balanced_accuracy",
    name="Balanced accuracy",
    format="percent",
    meaning="Fraction of correct predictions for each class (recall), averaged over the classes. "
    "A rare class counts as much as a common one.",
    headline=True,
    statistic=lambda sample: sample.class_means["balanced_accuracy"],
    estimate=lambda evaluation: evaluation.class_mean("balanced_accuracy", "recall"),
)
MACRO_F1 = Metric(
    key="macro_f1",
    name="Macro F1",
    format="decimal",
    meaning="Mean F1 of the classes. F1 combines recall and precision. 1 is perfect, 0 means no "
    "correct prediction.",
    headline=True,
    statistic=lambda sample: sample.class_means["macro_f1"],
    estimate=lambda evaluation: evaluation.class_mean("macro_f1", "f1"),
)
MACRO_AUROC = Metric(
    key="auroc_macro",
    name="AUROC",
    format="decimal",
    meaning="Probability that an image of a class gets a higher score for this class than an image "
    "of another class. Averaged over the classes. 0.5 is chance level, 1 is perfect.",
    headline=True,
    statistic=_mean_auroc,
    estimate=_auroc_estimate,
)
