"""Decision curve: net benefit of the model against treating everyone or nobody."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skin_lesions.evaluation.malignancy import DecisionPoint, MalignancyResults
from skin_lesions.metrics.intervals import FEW_IMAGES, Estimate
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    GRAY,
    INK,
    TEST,
    add_legend,
    percent_axis,
    titled_figure,
)
from skin_lesions.reporting.formatting import whole_percent


def draw_decision_curve(malignancy: MalignancyResults) -> Figure:
    """Draw the net benefit at each threshold probability, with the 95 % interval of the model."""
    curve = malignancy.test.decision_curve
    note = (
        f"{malignancy.test.malignant:,} malignant and {malignancy.test.benign:,} benign test "
        "images. Net benefit: true positives per image, minus false positives weighted by the odds "
        "of the threshold probability. It holds for this fraction of malignant images. Band: 95 % "
        "interval at each threshold."
    )
    if min(malignancy.test.malignant, malignancy.test.benign) < FEW_IMAGES:
        note += f" Fewer than {FEW_IMAGES} malignant or benign images: the curve is uncertain."
    with titled_figure(
        (9.0, 4.6),
        title(malignancy),
        note=note,
        synthetic=malignancy.provenance.synthetic_images,
    ) as figure:
        if _is_defined(malignancy):
            axes = figure.subplots()
            _draw_curves(axes, curve)
            add_legend(
                figure,
                [
                    Line2D([], [], color=TEST, linewidth=2, label="act if the model says so"),
                    Line2D([], [], color=GRAY, linestyle="--", label="act always"),
                    Line2D([], [], color=INK, linewidth=1, label="never act"),
                ],
            )
    return figure


def title(malignancy: MalignancyResults) -> str:
    """State where the model has a higher net benefit than acting always and never."""
    if not _is_defined(malignancy):
        return "Test: no decision curve without malignant and benign images"
    better = [
        point.threshold_probability
        for point in malignancy.test.decision_curve
        if _is_above_zero(point.model) and _is_above_zero(point.model_minus_treat_all)
    ]
    if not better:
        return "Test: the model shows no higher net benefit than acting always or never"
    # The thresholds can have gaps, so the title states their number and their ends.
    number, total = len(better), len(malignancy.test.decision_curve)
    return (
        f"Test: the model has a higher net benefit than acting always or never at {number} of "
        f"{total} threshold probabilities, from {whole_percent(better[0])} to "
        f"{whole_percent(better[-1])}"
    )


def _is_defined(malignancy: MalignancyResults) -> bool:
    return bool(malignancy.test.malignant and malignancy.test.benign)


def _is_above_zero(estimate: Estimate) -> bool:
    return estimate.low is not None and estimate.low > 0


def _draw_curves(axes: Axes, curve: Sequence[DecisionPoint]) -> None:
    x = [point.threshold_probability for point in curve]
    model = [point.model.value or 0.0 for point in curve]
    treat_all = [point.treat_all.value or 0.0 for point in curve]
    # Points without an interval have no band.
    low = [np.nan if point.model.low is None else point.model.low for point in curve]
    high = [np.nan if point.model.high is None else point.model.high for point in curve]
    axes.fill_between(x, low, high, color=TEST, alpha=0.18, linewidth=0)
    axes.plot(x, treat_all, color=GRAY, linestyle="--", linewidth=1.4)
    axes.axhline(0, color=INK, linewidth=1)
    axes.plot(x, model, color=TEST, linewidth=2)
    # Acting always falls far below 0, where no decision is of interest.
    top = max(*model, *treat_all, *(value for value in high if not np.isnan(value)), 0.02)
    bottom = min(*model, *(value for value in low if not np.isnan(value)), 0.0)
    axes.set_ylim(min(bottom, -0.15 * top) - 0.02 * top, 1.05 * top)
    axes.set_xlim(0, max(x))
    axes.set_xlabel("threshold probability (risk of malignancy above which one would act)")
    axes.set_ylabel("net benefit")
    percent_axis(axes.xaxis)
    axes.grid()


FIGURE = FigureSpec(
    name="decision_curve",
    heading="Decision curve",
    inputs=("malignancy",),
    draw=draw_decision_curve,
    alt_text=lambda inputs: title(inputs.malignancy),
)
