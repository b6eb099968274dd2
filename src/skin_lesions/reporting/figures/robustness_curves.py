"""Balanced accuracy lost on corrupted test images."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from skin_lesions.evaluation.robustness import CorruptionScores, RobustnessResult
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    GRAY,
    SMALL,
    TEST,
    add_legend,
    point,
    rows_axis,
    titled_figure,
    write_beside_rows,
)
from skin_lesions.reporting.formatting import NBSP, whole_percent

_OFFSETS = {1: -0.26, 2: 0.0, 3: 0.26}  # rows, from the middle of the row of a corruption
_SHADES = {1: 0.35, 2: 0.6, 3: 1.0}  # opacity
_ROW_HEIGHT = 0.52  # inches, for the three strengths of a corruption


def draw_robustness_curves(robustness: RobustnessResult) -> Figure:
    """Draw the balanced accuracy lost by each corruption and strength, with its 95 % interval."""
    corruptions = sorted(robustness.corruptions, key=_largest_loss, reverse=True)
    note = (
        f"Balanced accuracy on {robustness.n:,} original test images minus that on their corrupted "
        "copies, with the paired 95 % interval. Right: the settings of the three strengths."
    )
    with titled_figure(
        (10.0, _ROW_HEIGHT * len(corruptions) + 1.0 if corruptions else 0.7),
        title(robustness),
        note=note if robustness.measured else "",
        synthetic=robustness.provenance.synthetic_images,
    ) as figure:
        axes = figure.subplots()
        if not robustness.measured:
            axes.text(
                0, 0, "Not measured. To measure: evaluate.robustness.enabled=true", color=GRAY
            )
            axes.set_axis_off()
            return figure
        for row, corruption in enumerate(corruptions):
            _draw_losses(axes, row, corruption)
        axes.axvline(0, color=GRAY, linewidth=1, linestyle="--", zorder=1)
        rows_axis(axes, [corruption.title for corruption in corruptions])
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        axes.set_xlabel("balanced accuracy lost (percentage points)")
        axes.grid(axis="x")
        write_beside_rows(axes, list(map(_settings, corruptions)))
        strengths = [point(TEST, f"test images, strength {n}") for n in _OFFSETS]
        for handle, shade in zip(strengths, _SHADES.values(), strict=True):
            handle.set_alpha(shade)
        add_legend(figure, strengths)
    return figure


def title(robustness: RobustnessResult) -> str:
    """Name the corruption with the largest loss."""
    worst = robustness.worst()
    if not robustness.measured or worst is None:
        return "Robustness to corrupted images was not measured"
    corruption, score = worst
    lost = score.balanced_accuracy_lost.value or 0.0
    if lost <= 0:
        return "Test: no corruption lowers the balanced accuracy"
    return (
        f"Test: {corruption.title.lower()} of strength {score.strength} lowers the balanced "
        f"accuracy most, by {100 * lost:.1f} percentage points to "
        f"{whole_percent(score.balanced_accuracy.value or 0.0)}"
    )


def _largest_loss(corruption: CorruptionScores) -> float:
    return max(score.balanced_accuracy_lost.value or 0.0 for score in corruption.scores)


def _draw_losses(axes: Axes, row: int, corruption: CorruptionScores) -> None:
    for score in corruption.scores:
        lost, y = score.balanced_accuracy_lost, row + _OFFSETS[score.strength]
        shade = _SHADES[score.strength]
        if lost.value is None:
            axes.text(0.0, y, "unknown", va="center", color=GRAY, fontsize=SMALL)
            continue
        if lost.low is not None and lost.high is not None:
            axes.hlines(y, lost.low, lost.high, color=TEST, linewidth=2.4, alpha=0.6 * shade)
        axes.plot(lost.value, y, "o", color=TEST, markersize=7, alpha=shade)


def _settings(corruption: CorruptionScores) -> str:
    values = [f"{score.setting:g}" for score in corruption.scores]
    unit = f"{NBSP}%" if "%" in corruption.unit else ""
    return f"{', '.join(values)}{unit}"


FIGURE = FigureSpec(
    name="robustness_curves",
    heading="Robustness to corrupted images",
    inputs=("robustness",),
    draw=draw_robustness_curves,
    alt_text=lambda _: (
        "Balanced accuracy lost by each corruption of the test images, with intervals"
    ),
)
