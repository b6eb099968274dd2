"""Balanced accuracy if a fraction of the metadata of the test images is missing."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skin_lesions.evaluation.fusion import FusionResults
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    GRAY,
    TEST,
    add_legend,
    percent_axis,
    point,
    titled_figure,
)
from skin_lesions.reporting.formatting import percent


def draw_missing_metadata(fusion: FusionResults) -> Figure:
    """Draw the mean balanced accuracy, and the range over random choices of the missing values."""
    note = (
        f"Known values of the test images are removed at random. Points: mean of {fusion.draws} "
        "random choices. Vertical lines: lowest to highest."
    )
    with titled_figure(
        (7.0, 3.6) if fusion.measured else (7.0, 0.7),
        title(fusion),
        note=note if fusion.measured else "",
        synthetic=fusion.provenance.synthetic_images,
    ) as figure:
        axes = figure.subplots()
        if not fusion.measured:
            axes.text(0, 0, "To use metadata: metadata.columns=all", color=GRAY)
            axes.set_axis_off()
            return figure
        removed = [level.removed for level in fusion.missing]
        means = [level.balanced_accuracy for level in fusion.missing]
        axes.vlines(
            removed,
            [level.lowest for level in fusion.missing],
            [level.highest for level in fusion.missing],
            color=TEST,
            linewidth=2.4,
            alpha=0.5,
        )
        axes.plot(removed, means, "o-", color=TEST, markersize=7, linewidth=1.2)
        axes.axhline(means[-1], color=GRAY, linewidth=1, linestyle="--", zorder=1)
        axes.set_xlabel("fraction of the known values that is removed")
        axes.set_ylabel("balanced accuracy")
        percent_axis(axes.xaxis)
        percent_axis(axes.yaxis)
        axes.margins(y=0.15)
        axes.grid()
        image_alone = Line2D([], [], color=GRAY, linestyle="--", label="image alone")
        add_legend(figure, [point(TEST, "test images"), image_alone])
    return figure


def title(fusion: FusionResults) -> str:
    """State the balanced accuracy with all metadata and without any."""
    if not fusion.missing:
        return f"No metadata can be missing: {fusion.reason}"
    first, last = fusion.missing[0], fusion.missing[-1]
    return (
        f"Test: balanced accuracy {percent(first.balanced_accuracy)} with all metadata, "
        f"{percent(last.balanced_accuracy)} without any"
    )


FIGURE = FigureSpec(
    name="missing_metadata",
    heading="Missing metadata",
    inputs=("fusion",),
    draw=draw_missing_metadata,
    section="clinical_metadata",
    alt_text=lambda inputs: title(inputs.fusion),
)
