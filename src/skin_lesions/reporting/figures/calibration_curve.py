"""Reliability diagram: accuracy against confidence."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.metrics.calibration import confidence_bins
from skin_lesions.metrics.intervals import proportion
from skin_lesions.reporting.figures import titles
from skin_lesions.reporting.figures.style import BLUE, GRAY, PALE, percent_axis, titled_figure


def draw_calibration_curve(predictions: pd.DataFrame, metrics: dict[str, Any]) -> Figure:
    """Draw accuracy against confidence in bins of about equally many test images.

    A histogram above the curve shows the distribution of the confidence.
    """
    test = predictions[predictions["split"] == "test"]
    probability_columns = [name for name in predictions if str(name).startswith("p_")]
    # Confidence of each image: the probability of the predicted class.
    confidence = test[probability_columns].to_numpy(dtype=np.float64).max(axis=1)
    bins = confidence_bins(confidence)
    correct = (test["label"] == test["predicted"]).to_numpy()
    with titled_figure(
        (7.0, 6.0),
        titles.calibration(metrics),
        note=f"{len(test):,} test images in {bins.max() + 1} bins of about equal size, with 95 % "
        "intervals. Dashed line: perfect calibration. Points below it: the model is overconfident. "
        "Top: distribution of the confidence.",
        synthetic=metrics["provenance"]["synthetic_images"],
    ) as figure:
        histogram, curve = figure.subplots(2, 1, sharex=True, height_ratios=[1, 4])
        histogram.hist(
            confidence, bins=np.linspace(0, 1, 41).tolist(), color=PALE, edgecolor="white"
        )
        histogram.set_ylabel("images")
        _draw_curve(curve, confidence, bins, correct, test["group_id"].to_numpy())
    return figure


def _draw_curve(axes: Axes, confidence: Any, bins: Any, correct: Any, groups: Any) -> None:
    axes.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle="--")
    points = []  # (mean confidence, accuracy) of each bin
    for number in np.unique(bins):
        inside = bins == number
        estimate = proportion(correct[inside], groups[inside])
        x = float(confidence[inside].mean())
        points.append((x, float(correct[inside].mean())))
        if estimate.low is not None and estimate.high is not None:
            axes.vlines(x, estimate.low, estimate.high, color=BLUE, linewidth=2, alpha=0.5)
    axes.plot(*zip(*points, strict=True), "o-", color=BLUE, linewidth=1.4, markersize=6)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("confidence (probability of the predicted class)")
    axes.set_ylabel("accuracy")
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.grid()
