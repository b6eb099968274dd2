"""How training went, epoch by epoch."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from skin_lesions.reporting.figures import titles
from skin_lesions.reporting.figures.style import (
    BLUE,
    GRAY,
    INK,
    ORANGE,
    percent_axis,
    titled_figure,
)

_LINES = {
    "train_loss": ("training", GRAY, "o"),
    "val_loss": ("validation", BLUE, "s"),
    "train_accuracy": ("training", GRAY, "o"),
    "val_accuracy": ("validation", BLUE, "s"),
    "val_balanced_accuracy": ("validation, balanced over the classes", ORANGE, "D"),
}


def loss_curves(training_history: pd.DataFrame, metrics: dict[str, Any]) -> Figure:
    """Draw losses and accuracies of training and validation; the kept epoch is marked.

    Training values are means over the epoch, taken while the weights change and the images are
    augmented; validation values are taken after it. Losses are before calibration.
    """
    with titled_figure(
        (10.0, 4.2),
        titles.loss(training_history),
        note="Training: mean over the epoch, images augmented. Validation: at its end. "
        "Loss before calibration.",
        synthetic=metrics["provenance"]["synthetic_images"],
    ) as figure:
        left, right = figure.subplots(1, 2)
        _draw(left, training_history, ["train_loss", "val_loss"])
        left.set_title("Cross-entropy, nats per image")
        left.set_ylim(0, 1.08 * training_history[["train_loss", "val_loss"]].to_numpy().max())
        _draw(right, training_history, list(_LINES)[2:])
        right.set_title("Share right")
        right.set_ylim(0, 1.02)
        percent_axis(right.yaxis)
        handles, names = right.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", ncols=len(names))
    return figure


def _draw(axes: Axes, history: pd.DataFrame, columns: list[str]) -> None:
    many = len(history) > 30
    best = history[history["best"]].iloc[0]
    kept = f"kept: epoch {int(best['epoch'])}"
    axes.axvline(best["epoch"], color=INK, linewidth=1, linestyle=(0, (1, 2)), label=kept)
    for column in columns:
        name, colour, marker = _LINES[column]
        (line,) = axes.plot(history["epoch"], history[column], color=colour, label=name)
        line.set(linewidth=1.8, marker="" if many else marker, markersize=4.5)
        axes.plot(
            best["epoch"], best[column], marker, color=colour, markersize=7.5, markeredgecolor=INK
        )
    axes.set_xlim(0.5, len(history) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.grid(axis="y")
