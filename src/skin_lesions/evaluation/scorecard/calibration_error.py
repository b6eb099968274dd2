"""Expected calibration error of the predicted class."""

import numpy as np

from skin_lesions.evaluation.scorecard.arrays import Resample
from skin_lesions.evaluation.scorecard.metric import Metric
from skin_lesions.metrics.bootstrap import row_sums
from skin_lesions.metrics.calibration import confidence_bins
from skin_lesions.metrics.classification import Floats


def _statistic(sample: Resample) -> Floats:
    rows = sample.rows
    # The bins are the same for all replicates: new edges would require a sort per replicate.
    bins = confidence_bins(rows.confidence)
    # (bins, n): per bin, the sum of accuracy minus confidence.
    gap_sums = row_sums(bins, int(bins.max()) + 1, rows.correct - rows.confidence)
    return np.asarray(abs(gap_sums @ sample.weights).sum(axis=0) / sample.total)


CALIBRATION_ERROR = Metric(
    key="expected_calibration_error",
    name="Calibration error",
    format="decimal",
    meaning="Mean distance between confidence and accuracy (ECE). 0 is best.",
    statistic=_statistic,
    estimate=lambda evaluation: evaluation.bootstrap.reflected(
        "expected_calibration_error", evaluation.rows.n
    ),
)
