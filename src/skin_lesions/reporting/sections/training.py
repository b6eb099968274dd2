"""Section "Training": epochs, selection, duration and recipe."""

import pandas as pd

from skin_lesions.core.text import format_duration, pluralize
from skin_lesions.reporting.blocks import Block, Cell, FigurePlace, Heading, Paragraph, Table
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import describe_framing, format_recipe, percent
from skin_lesions.reporting.sections.section import Section


def training_content(inputs: ReportInputs) -> list[Block]:
    """Return how the model was trained."""
    model, history = inputs.model, inputs.training_history
    selection, preprocessing = model.selection, model.preprocessing
    size = f"{preprocessing.image_size} × {preprocessing.image_size}"
    text = (
        f"{_duration(history)} on {model.provenance.device}. Epoch {selection.best_epoch} was "
        f"selected: it has the best {selection.metric.replace('_', ' ')} on the validation images, "
        f"{percent(selection.value)}. Image size: {size} pixels, {describe_framing(preprocessing)}."
    )
    rows = [
        [Cell(text=key), Cell(text=value)] for key, value in format_recipe(model.recipe).items()
    ]
    return [
        Paragraph(text),
        FigurePlace("loss_curves"),
        Heading("Recipe", "recipe"),
        Table(caption="Recipe", columns=[], rows=rows, layout="pairs"),
    ]


def _duration(history: pd.DataFrame) -> str:
    seconds = float(history["seconds"].sum())
    speed = f"{history['images_per_second'].median():,.0f} images per second"
    each = format_duration(seconds / len(history))
    return (
        f"{pluralize(len(history), 'epoch')} in {format_duration(seconds)} ({each} each, {speed})"
    )


SECTION = Section(name="training", title="Training", content=training_content)
