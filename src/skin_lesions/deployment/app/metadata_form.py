"""Form fields for the clinical metadata that a model uses."""

from collections.abc import Mapping, Sequence

import gradio as gr

from skin_lesions.data.tabular import EncoderColumn
from skin_lesions.deployment.predictor import ModelDescription

_UNKNOWN = "not known"


def metadata_fields(description: ModelDescription) -> list[gr.components.Component]:
    """Create one form field for each column that the model uses, empty at first.

    They are placed in the context of the page.
    """
    fusion = description.postprocessing.metadata_fusion
    if fusion is None:
        return []
    title = '<p class="label">Clinical metadata of the next images, if they are known</p>'
    gr.HTML(title, apply_default_css=False, js_on_load=None)
    with gr.Group(elem_id="metadata"), gr.Row():
        return [_field(column) for column in fusion.encoder.columns]


def _field(column: EncoderColumn) -> gr.components.Component:
    label = column.name.replace("_", " ").capitalize()
    if column.kind == "categorical":
        return gr.Dropdown(
            label=label, choices=[_UNKNOWN, *column.categories], value=_UNKNOWN, filterable=False
        )
    # Not gr.Number: an empty field of it has the value 0.
    max_lines = 4 if column.kind == "text" else 1
    return gr.Textbox(label=label, placeholder=_UNKNOWN, max_lines=max_lines)


def metadata_row(
    description: ModelDescription, values: Sequence[object]
) -> Mapping[str, object] | None:
    """Return the metadata of the next images from the values of the fields.

    Missing values are None. None if the model uses images only.
    """
    fusion = description.postprocessing.metadata_fusion
    if fusion is None:
        return None
    return {
        name: None if value in (None, "", _UNKNOWN) else value
        for name, value in zip(fusion.encoder.names, values, strict=True)
    }
