"""Reliability diagram: accuracy against confidence."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skin_lesions.data.tables import PredictionTable
from skin_lesions.evaluation.scorecard import Scorecard
from skin_lesions.evaluation.scorecard.arrays import prediction_arrays
from skin_lesions.metrics.calibration import confidence_bins
from skin_lesions.metrics.intervals import proportion
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    GRAY,
    TEST,
    add_legend,
    percent_axis,
    point,
    titled_figure,
)


def draw_calibration_curve(predictions: PredictionTable, metrics: Scorecard) -> Figure:
    """Draw accuracy against confidence in bins of about equally many test images.

    A histogram above the curve shows the distribution of the confidence.
    """
    test = predictions.frame[predictions.frame["split"] == "test"]
    rows = prediction_arrays(test, metrics.test.confusion.classes)
    confidence, correct = rows.confidence, rows.correct
    bins = confidence_bins(confidence)
    with titled_figure(
        (7.0, 6.3),
        title(metrics),
        note=f"{len(test):,} test images in {bins.max() + 1} bins of about equal size, with 95 % "
        "intervals. Points below the dashed line: the model is overconfident. Top: distribution of "
        "the confidence.",
        synthetic=metrics.provenance.synthetic_images,
    ) as figure:
        histogram, curve = figure.subplots(2, 1, sharex=True, height_ratios=[1, 4])
        edges = np.linspace(0, 1, 41).tolist()
        histogram.hist(confidence, bins=edges, color=TEST, alpha=0.35, edgecolor="white")
        histogram.set_ylabel("images")
        _draw_curve(curve, confidence, bins, correct, test["group_id"].to_numpy())
        perfect = Line2D([], [], color=GRAY, linestyle="--", label="perfect calibration")
        add_legend(figure, [point(TEST, "test images"), perfect])
    return figure


def title(metrics: Scorecard) -> str:
    """Compare the calibration error with that of a calibrated model."""
    error = metrics.test["expected_calibration_error"].value
    if error is None:
        return "Test: the calibration error cannot be computed"
    by_chance = metrics.test.calibration.error_by_chance
    return (
        f"Test: calibration error {100 * error:.1f} percentage points "
        f"({100 * by_chance.low:.1f} to {100 * by_chance.high:.1f} by chance)"
    )


def _draw_curve(
    axes: Axes,
    confidence: npt.NDArray[np.float64],
    bins: npt.NDArray[np.intp],
    correct: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.object_],
) -> None:
    """Draw the accuracy in each bin; all arrays have shape (images,)."""
    axes.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle="--")
    mean_confidence, accuracy = [], []  # of each bin
    for number in np.unique(bins):
        inside = bins == number
        x = float(confidence[inside].mean())
        mean_confidence.append(x)
        accuracy.append(float(correct[inside].mean()))
        estimate = proportion(correct[inside], groups[inside])
        if estimate.low is not None and estimate.high is not None:
            axes.vlines(x, estimate.low, estimate.high, color=TEST, linewidth=2, alpha=0.5)
    axes.plot(mean_confidence, accuracy, "o-", color=TEST, linewidth=1.4, markersize=6)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("confidence (probability of the predicted class)")
    axes.set_ylabel("accuracy")
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.grid()


FIGURE = FigureSpec(
    name="calibration_curve",
    heading="Reliability diagram",
    inputs=("predictions", "metrics"),
    draw=draw_calibration_curve,
    alt_text=lambda inputs: title(inputs.metrics),
    section="uncertainty",
)
