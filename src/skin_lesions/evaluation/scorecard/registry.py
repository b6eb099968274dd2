"""All metrics, in the order of ``metrics.json`` and of the reports.

To add a metric, write a file that defines it and add it here; see docs/contributing.
"""

from skin_lesions.evaluation.scorecard.accuracy import ACCURACY, TOP2_ACCURACY
from skin_lesions.evaluation.scorecard.agreement import COHEN_KAPPA, MATTHEWS_CORRELATION
from skin_lesions.evaluation.scorecard.calibration_error import (
    CALIBRATION_ERROR,
    CLASS_CALIBRATION_ERROR,
    CLASSWISE_CALIBRATION_ERROR,
)
from skin_lesions.evaluation.scorecard.class_means import (
    BALANCED_ACCURACY,
    MACRO_AUROC,
    MACRO_AVERAGE_PRECISION,
    MACRO_F1,
)
from skin_lesions.evaluation.scorecard.losses import BRIER, LOG_LOSS
from skin_lesions.evaluation.scorecard.metric import ClassMetric, Metric
from skin_lesions.evaluation.scorecard.per_class import (
    AUROC,
    AVERAGE_PRECISION,
    F1,
    PRECISION,
    RECALL,
)

METRICS: tuple[Metric, ...] = (
    ACCURACY,
    BALANCED_ACCURACY,
    MACRO_F1,
    MACRO_AUROC,
    MACRO_AVERAGE_PRECISION,
    TOP2_ACCURACY,
    MATTHEWS_CORRELATION,
    COHEN_KAPPA,
    LOG_LOSS,
    BRIER,
    CALIBRATION_ERROR,
    CLASSWISE_CALIBRATION_ERROR,
)
CLASS_METRICS: tuple[ClassMetric, ...] = (
    RECALL,
    PRECISION,
    F1,
    AUROC,
    AVERAGE_PRECISION,
    CLASS_CALIBRATION_ERROR,
)
