"""A trained model: the weights and everything that inference and reports require.

``models.model_file`` reads and writes it. Importing this module does not import torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SkipValidation, model_validator
from pydantic.json_schema import SkipJsonSchema

from skin_lesions.core.versions import UNSAVED
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.provenance import ModelProvenance
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.postprocessing.conformal import ConformalThresholds
from skin_lesions.models.postprocessing.malignancy_thresholds import MalignancyThresholds
from skin_lesions.models.postprocessing.metadata_fusion import MetadataFusion
from skin_lesions.models.postprocessing.probabilities import ClassFrequencies
from skin_lesions.models.postprocessing.referral import ReferralThreshold
from skin_lesions.models.postprocessing.temperature import TemperatureFit
from skin_lesions.models.postprocessing.unknown_score import UnknownScoreFit
from skin_lesions.models.weights_origin import WeightsOrigin

FORMAT = 3  # of the model file; increase it when keys are renamed or change their meaning
TestTimeAugmentation = Literal["none", "flips", "flips_and_rotations"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The selected epoch (counted from 1), and the validation metric that selected it."""

    best_epoch: int
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Postprocessing:
    """Steps after the network, fitted on the validation images.

    Attributes:
        calibration: The temperature.
        frequencies: Class frequencies of the training images and of the network, and whether the
            predicted class is the most probable one for equal class frequencies.
        conformal: Thresholds of the conformal prediction sets.
        referral: Threshold of the confidence below which an image is referred to a person.
        unknown_score: Statistics of training images, and threshold of the unknown score.
        malignancy_thresholds: Thresholds of malignant against benign; None if the validation images
            are not both malignant and benign.
        metadata_fusion: Late fusion with clinical metadata; its model was fitted on the training
            images. None if the model uses images only.
    """

    calibration: TemperatureFit
    frequencies: ClassFrequencies
    conformal: ConformalThresholds
    referral: ReferralThreshold
    unknown_score: UnknownScoreFit
    malignancy_thresholds: MalignancyThresholds | None = None
    metadata_fusion: MetadataFusion | None = None


class UncalibratedModel(BaseModel):
    """A trained network before its postprocessing is fitted.

    Attributes:
        architecture: Name of the architecture, as in ``train.architecture``.
        classes: The outputs, in order.
        preprocessing: Conversion of a stored image into the input.
        test_time_augmentation: Poses whose logits are averaged in inference.
        recipe: All parameters of ``train``, as plain values. Paths are shortened to names, and URLs
            have no secrets. Later versions of this package may have other parameters.
        initial_weights: Origin of the initial weights.
        selection: The selected epoch.
        provenance: Inputs, software and machine of the training.
        train_image_ids: image_id of each training image, sorted.
        val_image_ids: image_id of each validation image, sorted.
        localizer: Finds the lesions that the inputs are crops of; None if
            ``preprocessing.lesion_margin`` is None. Its tensors are not part of the JSON form.
        state_dict: Tensors by name. They are not part of the JSON form.
        metadata_model: Model of the clinical metadata without its weight, until the postprocessing
            is fitted; otherwise None. It is not part of the JSON form.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    test_time_augmentation: TestTimeAugmentation
    recipe: dict[str, JsonValue]
    initial_weights: WeightsOrigin
    selection: Selection
    provenance: ModelProvenance
    train_image_ids: tuple[str, ...]
    val_image_ids: tuple[str, ...]
    localizer: Localizer | None = None
    state_dict: SkipJsonSchema[SkipValidation[Mapping[str, object]]] = Field(
        exclude=True, repr=False
    )
    metadata_model: SkipJsonSchema[SkipValidation[MetadataFusion | None]] = Field(
        default=None, exclude=True, repr=False
    )
    version: SkipJsonSchema[str] = Field(default=UNSAVED, exclude=True)

    @model_validator(mode="after")
    def _has_localizer_for_crops(self) -> Self:
        if (self.localizer is None) != (self.preprocessing.lesion_margin is None):
            raise ValueError("a model of crops has a margin and a localizer, others have neither")
        return self

    def with_version(self, version: str) -> Self:
        """Return the same model with this version."""
        return self.model_copy(update={"version": version})


class TrainedModel(UncalibratedModel):
    """A complete model, as saved in the model file."""

    postprocessing: Postprocessing
