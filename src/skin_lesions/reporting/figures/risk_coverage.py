"""Risk-coverage curve: fraction of wrong predictions if uncertain images are referred."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skin_lesions.data.tables import PredictionTable
from skin_lesions.evaluation.scorecard.arrays import prediction_arrays
from skin_lesions.evaluation.uncertainty import SelectiveMetrics, Uncertainty
from skin_lesions.metrics.selective import RiskCoverage, risk_coverage
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    GRAY,
    INK,
    TEST,
    add_legend,
    percent_axis,
    point,
    titled_figure,
)


def draw_risk_coverage(predictions: PredictionTable, uncertainty: Uncertainty) -> Figure:
    """Draw the risk of the answered test images against their fraction.

    Vertical lines are 95 % intervals at the points that ``uncertainty.json`` contains. The point of
    the referral threshold is marked.
    """
    test = predictions.frame[predictions.frame["split"] == "test"]
    rows = prediction_arrays(test, list(uncertainty.test.conformal.per_class))
    selective = uncertainty.test.selective
    with titled_figure(
        (7.0, 4.6),
        title(uncertainty),
        note=f"{rows.n:,} test images. Images with the highest confidence are answered first, the "
        "others are referred. Vertical lines: 95 % intervals. The threshold was chosen on "
        "validation images.",
        synthetic=uncertainty.provenance.synthetic_images,
    ) as figure:
        axes = figure.subplots()
        _draw_curve(axes, risk_coverage(rows.confidence, rows.correct), selective)
        handles = [
            Line2D([], [], color=TEST, label="test images"),
            Line2D([], [], color=GRAY, linestyle="--", label="all images answered"),
            Line2D([], [], color=GRAY, linestyle=":", label="perfect order"),
        ]
        if _draw_referral(axes, selective):
            handles.append(point(INK, "referral threshold", "D"))
        add_legend(figure, handles)
    return figure


def title(uncertainty: Uncertainty) -> str:
    """State the effect of the referral threshold, or why there is none."""
    referral = uncertainty.test.selective.referral
    target = f"{100 * referral.target_accuracy:g} %"
    if referral.min_confidence is None:
        return f"Test: no referral threshold reached an accuracy of {target} on validation images"
    referred = f"{100 * (referral.referred.value or 0):.0f} % of the images are referred"
    answered = referral.accuracy_answered
    if answered.value is None or answered.low is None or answered.high is None:
        return f"Test: {referred} (target accuracy {target})"
    return (
        f"Test: {referred}, the others have an accuracy of {100 * answered.value:.1f} % "
        f"({100 * answered.low:.1f} to {100 * answered.high:.1f}; target {target})"
    )


def _draw_curve(axes: Axes, points: RiskCoverage, selective: SelectiveMetrics) -> None:
    axes.plot(points.coverage, points.risk, color=TEST, linewidth=1.6, drawstyle="steps-post")
    for entry in selective.curve:
        if entry.risk.low is not None and entry.risk.high is not None:
            axes.vlines(
                entry.coverage, entry.risk.low, entry.risk.high, color=TEST, linewidth=2, alpha=0.35
            )
    n, wrong = int(points.answered[-1]), int(points.wrong[-1])
    axes.axhline(wrong / n, color=GRAY, linewidth=1, linestyle="--")
    # All correct predictions first: no risk until n - wrong images are answered.
    answered = np.arange(1, n + 1)
    axes.plot(
        answered / n,
        np.maximum(answered - (n - wrong), 0) / answered,
        color=GRAY,
        linewidth=1,
        linestyle=":",
    )
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, None)
    axes.set_xlabel("coverage (fraction of images that are answered)")
    axes.set_ylabel("risk (fraction of wrong predictions)")
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.grid()


def _draw_referral(axes: Axes, selective: SelectiveMetrics) -> bool:
    """Mark the referral threshold; return whether there is one with answered images."""
    referred, accuracy = selective.referral.referred.value, selective.referral.accuracy_answered
    if referred is None or accuracy.value is None:
        return False
    axes.plot(1 - referred, 1 - accuracy.value, "D", color=INK, markersize=7, zorder=3)
    return True


FIGURE = FigureSpec(
    name="risk_coverage",
    heading="Risk and coverage",
    inputs=("predictions", "uncertainty"),
    draw=draw_risk_coverage,
    section="uncertainty",
    alt_text=lambda inputs: title(inputs.uncertainty),
)
