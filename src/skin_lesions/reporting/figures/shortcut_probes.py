"""Shortcut probes: how well each shortcut alone predicts the class."""

from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skin_lesions.audit.findings import AuditFindings, ProbeResult
from skin_lesions.data.tables import ImageTable
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    GRAY,
    INK,
    add_legend,
    point,
    rows_axis,
    short_text,
    titled_figure,
    write_beside_rows,
)
from skin_lesions.reporting.shortcut_table import input_name

_ROW, _PANEL_MARGIN = 0.29, 0.42  # inches: height of a probe; heading and space of a panel
_AXIS = 0.85  # inches, for the axis below the last panel and the legend
_MAX_PANELS = 6


def draw_shortcut_probes(audit_findings: AuditFindings, image_table: ImageTable) -> Figure:
    """Draw the balanced accuracy of each probe with its interval, and chance.

    There is one panel for all images and one for each source or direction between sources, at most
    six. Probes without a result are left out.
    """
    probes = audit_findings.shortcut_probes
    done = [probe for probe in probes if probe.balanced_accuracy.value is not None]
    panels = [(scope, list(rows)) for scope, rows in groupby(done, key=lambda p: p.scope)]
    displayed, more = panels[:_MAX_PANELS], len(panels) - _MAX_PANELS
    heights = [_ROW * len(rows) for _, rows in displayed]
    note = (
        "Each row: a simple classifier with only this input, cross-validated by lesion and "
        "patient, with 95 % interval. A missing value of a column counts as a value."
    )
    if more > 0:
        note += f" {more} more panels are in audit_findings.json."
    with titled_figure(
        (10.0, sum(heights) + _PANEL_MARGIN * len(displayed) + _AXIS),
        title(probes),
        note=note,
        synthetic=image_table.provenance.origin.is_synthetic,
    ) as figure:
        if displayed:
            grid = figure.subplots(
                len(displayed), 1, sharex=True, squeeze=False, height_ratios=heights
            )
            for axes, (scope, rows) in zip(grid[:, 0], displayed, strict=True):
                _draw(axes, scope, rows)
            grid[-1, 0].set_xlabel("balanced accuracy")
            add_legend(figure, _legend())
    return figure


def title(probes: Sequence[ProbeResult]) -> str:
    """Count the probes on all images that beat chance, and name the best of them.

    A probe beats chance if its complete 95 % interval is above chance.
    """
    done = [
        probe
        for probe in probes
        if probe.scope == "all" and probe.balanced_accuracy.low is not None
    ]
    if not done:
        return "Shortcuts could not be probed: there are too few images"
    above_chance = [probe for probe in done if _beats_chance(probe)]
    if not above_chance:
        return f"None of {len(done)} shortcut probes beats chance"
    best = max(above_chance, key=lambda probe: probe.balanced_accuracy.value or 0.0)
    return (
        f"{len(above_chance)} of {len(done)} shortcut probes beat chance. Best: "
        f"{best.name}, balanced accuracy {best.balanced_accuracy.value:.3f} (chance "
        f"{best.chance:.3f})"
    )


def _legend() -> list[Line2D]:
    return [
        point(INK, "interval above chance"),
        point(INK, "interval not above chance", filled=False),
        Line2D([], [], color=GRAY, linestyle="--", label="chance"),
        Line2D(
            [],
            [],
            color=GRAY,
            marker="|",
            markersize=11,
            linestyle="",
            label="maximum for this number of different values",
        ),
    ]


def _beats_chance(probe: ProbeResult) -> bool:
    low = probe.balanced_accuracy.low
    return low is not None and probe.chance is not None and low > probe.chance


def _draw(axes: Axes, scope: str, probes: Sequence[ProbeResult]) -> None:
    chance, n = probes[0].chance or 0.0, probes[0].balanced_accuracy.n
    scope_name = "All images" if scope == "all" else short_text(scope[0].upper() + scope[1:])
    axes.set_title(f"{scope_name}: {probes[0].classes} classes, n {n:,}, chance {chance:.3f}")
    axes.axvline(chance, color=GRAY, linewidth=1, linestyle="--", zorder=1)
    for y, probe in enumerate(probes):
        accuracy = probe.balanced_accuracy
        face = INK if _beats_chance(probe) else "white"
        if probe.ceiling is not None and probe.ceiling < 1:
            axes.plot(probe.ceiling, y, "|", color=GRAY, markersize=11, markeredgewidth=1.6)
        if accuracy.low is not None and accuracy.high is not None:
            axes.hlines(y, accuracy.low, accuracy.high, color=INK, linewidth=2.4, alpha=0.55)
        axes.plot(
            accuracy.value or 0.0,
            y,
            "o",
            color=INK,
            markerfacecolor=face,
            markersize=6.5,
            clip_on=False,
        )
    rows_axis(axes, [short_text(input_name(probe)) for probe in probes])
    axes.set_xlim(-0.01, 1.01)
    axes.grid(axis="x")
    texts = [_accuracy_text(probe.balanced_accuracy) for probe in probes]
    write_beside_rows(axes, texts)


def _accuracy_text(accuracy: Estimate) -> str:
    if accuracy.low is None or accuracy.high is None:
        return f"{accuracy.value:.3f}"
    return f"{accuracy.value:.3f} [{accuracy.low:.3f} to {accuracy.high:.3f}]"


FIGURE = FigureSpec(
    name="shortcut_probes",
    heading="Shortcut probes",
    inputs=("audit_findings", "image_table"),
    draw=draw_shortcut_probes,
    alt_text=lambda inputs: title(inputs.audit_findings.shortcut_probes),
    section="findings",
)
