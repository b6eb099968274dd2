"""Training curves: losses and accuracies by epoch."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from skin_lesions.evaluation.scorecard import Scorecard
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    INK,
    TRAIN,
    VAL,
    add_legend,
    percent_axis,
    titled_figure,
)
from skin_lesions.reporting.formatting import whole_percent

# Name, color, marker and line style.
_CURVES = {
    "train_loss": ("training", TRAIN, "o", "-"),
    "val_loss": ("validation", VAL, "s", "-"),
    "train_accuracy": ("training", TRAIN, "o", "-"),
    "val_accuracy": ("validation", VAL, "s", "-"),
    "val_balanced_accuracy": ("validation, balanced accuracy", VAL, "D", "--"),
}


def draw_loss_curves(training_history: pd.DataFrame, metrics: Scorecard) -> Figure:
    """Draw losses and accuracies of training and validation, and mark the selected epoch.

    Training values are means over an epoch, computed on augmented images while the weights change.
    Validation values are computed after the epoch. Losses are before calibration.
    """
    with titled_figure(
        (10.0, 4.2),
        title(training_history),
        note="Training: mean over the epoch, on augmented images. Validation: at the end of the "
        "epoch. Losses before calibration.",
        synthetic=metrics.provenance.synthetic_images,
    ) as figure:
        left, right = figure.subplots(1, 2)
        _draw(left, training_history, ["train_loss", "val_loss"])
        left.set_title("Cross-entropy, nats per image")
        left.set_ylim(0, 1.08 * training_history[["train_loss", "val_loss"]].to_numpy().max())
        _draw(right, training_history, list(_CURVES)[2:])
        right.set_title("Accuracy")
        right.set_ylim(0, 1.02)
        percent_axis(right.yaxis)
        add_legend(figure, right.get_legend_handles_labels()[0])
    return figure


def title(history: pd.DataFrame) -> str:
    """Name the selected epoch and the epoch with the lowest validation loss."""
    best = history[history["best"]].iloc[0]
    accuracies = (
        f"validation accuracy {whole_percent(best['val_accuracy'])}, "
        f"balanced accuracy {whole_percent(best['val_balanced_accuracy'])}"
    )
    if len(history) == 1:
        return f"One epoch: {accuracies}"
    lowest = int(history.sort_values("val_loss", kind="stable")["epoch"].iloc[0])
    also = "It also has" if lowest == best["epoch"] else f"Epoch {lowest} has"
    return (
        f"Epoch {int(best['epoch'])} of {len(history)} was selected: {accuracies}. "
        f"{also} the lowest validation loss"
    )


def _draw(axes: Axes, history: pd.DataFrame, columns: list[str]) -> None:
    hide_markers = len(history) > 30
    best = history[history["best"]].iloc[0]
    selected = f"selected: epoch {int(best['epoch'])}"
    axes.axvline(best["epoch"], color=INK, linewidth=1, linestyle=(0, (1, 2)), label=selected)
    for column in columns:
        name, color, marker, linestyle = _CURVES[column]
        (line,) = axes.plot(history["epoch"], history[column], color=color, label=name)
        line.set(
            linewidth=1.8,
            linestyle=linestyle,
            marker="" if hide_markers else marker,
            markersize=4.5,
        )
        axes.plot(
            best["epoch"], best[column], marker, color=color, markersize=7.5, markeredgecolor=INK
        )
    axes.set_xlim(0.5, len(history) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.grid(axis="y")


FIGURE = FigureSpec(
    name="loss_curves",
    heading="Training curves",
    inputs=("training_history", "metrics"),
    draw=draw_loss_curves,
    alt_text=lambda inputs: title(inputs.training_history),
    section="training",
)
