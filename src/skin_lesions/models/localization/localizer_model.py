"""Content of the localizer file.

This module does not import torch.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, SkipValidation, model_validator
from pydantic.json_schema import SkipJsonSchema

from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.provenance import LocalizerProvenance
from skin_lesions.models.map_layers import MapLayer

LOCALIZER_FORMAT = 2  # increase it when keys are renamed or change their meaning
Method = Literal["dense", "cam", "mean_box", "whole_image"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Localizer(VersionedModel):
    """A fitted localizer.

    Attributes:
        method: ``dense`` (mask decoder on the features), ``cam`` (class activation maps),
            ``mean_box`` (mean of the annotated boxes) or ``whole_image``.
        architecture: Architecture of the classifier.
        classifier_sha256: Hash of the weights of the classifier, ``weights_sha256``.
        preprocessing: Conversion of a stored square into the input of the network. Images are
            always stretched, so that boxes are fractions of the complete image.
        layers: Layers of the feature pyramid (``dense``), or the layer of the map (``cam``).
        threshold: Threshold of the map; None for a constant box.
        box: The constant box (``mean_box`` and ``whole_image``), otherwise None.
        masks, boxes: Number of images for the fit with a mask, and with boxes only.
        state_dict: Tensors of ``dense`` by name, otherwise empty: those of the decoder
            (``decoder.``), and those of the network without its head (``network.``). They are not
            part of the JSON form. A model bundle has them in its ONNX file only.
        tensors_sha256: Hash of the tensors, so that a checksum of the JSON form includes them.
        train_image_ids: image_id of each image that the classifier, or its initial weights, were
            trained on, sorted; empty without a pipeline.
        val_image_ids: The same for the images that the classifier was selected on, or that the
            localizer was fitted to.
        provenance: Classifier, annotations and software; None without a pipeline.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Method
    architecture: str
    classifier_sha256: Sha256
    preprocessing: Preprocessing
    layers: tuple[MapLayer, ...] = ()
    threshold: Fraction | None = None
    box: tuple[Fraction, Fraction, Fraction, Fraction] | None = None
    masks: int
    boxes: int
    state_dict: SkipJsonSchema[SkipValidation[Mapping[str, object]]] = Field(
        default_factory=dict, exclude=True, repr=False
    )
    tensors_sha256: Sha256
    train_image_ids: tuple[str, ...] = ()
    val_image_ids: tuple[str, ...] = ()
    provenance: LocalizerProvenance | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        has_map = self.method in ("dense", "cam")
        if has_map != (self.threshold is not None) or has_map == (self.box is not None):
            raise ValueError("methods with a map have a threshold, the others have a box")
        if has_map != bool(self.layers):
            raise ValueError("methods with a map have layers, the others have none")
        return self

    def digest(self) -> str:
        """Return a hash of everything that determines the boxes of an image, 64 hex digits."""
        fields = {"method", "architecture", "preprocessing", "layers", "threshold", "box"}
        content = self.model_dump_json(include=fields | {"tensors_sha256"})
        return hashlib.sha256(content.encode()).hexdigest()
