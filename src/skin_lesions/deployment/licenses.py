"""Licenses of a model bundle: what the model file records, and what is unknown."""

from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.formatting import data_license_notes, images_from, weights_license_note
from skin_lesions.reporting.markdown import markdown_text

_TEXT = """\
# Licenses

This file lists what the model file records. Unknown licenses are stated as unknown.

## Model

The license of the trained weights (`model.safetensors`, `model.onnx`) is not recorded. It depends
on the images, on the initial weights, and on the decision of the author.

## Images of the training

Source: {source}

{images}

The bundle contains no images. `split_manifest.csv` contains only hashes of image files.

## Initial weights

- {weights}

## Software

- `predict.py` is part of skin-lesions. License: Apache-2.0.
"""


def licenses_text(model: TrainedModel) -> str:
    """Return the licenses of images, initial weights and software in Markdown."""
    notes = data_license_notes(model)
    return _TEXT.format(
        source=markdown_text(images_from(model.provenance.origin)),
        images="\n".join(f"- {markdown_text(note)}" for note in notes),
        weights=markdown_text(weights_license_note(model)),
    )
