"""Content of ``uncertainty.json``. ``Uncertainty.model_json_schema()`` returns its JSON schema."""

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.models.postprocessing.conformal import ConformalThresholds
from skin_lesions.models.postprocessing.probabilities import Decision
from skin_lesions.models.postprocessing.referral import ReferralThreshold


class _Entry(BaseModel):
    """Base class: immutable, unknown fields are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SetMetrics(_Entry):
    """Conformal prediction sets of some images.

    Attributes:
        n: Number of images.
        coverage: Fraction of the sets that contain the label.
        mean_size: Mean number of classes in a set.
        empty: Fraction of sets without a class.
        single: Fraction of sets with one class.
        sizes: Number of sets with 0, 1, 2 ... classes, up to all classes.
    """

    n: int
    coverage: Estimate
    mean_size: Estimate
    empty: Estimate
    single: Estimate
    sizes: tuple[int, ...]


class ConformalMetrics(_Entry):
    """Conformal prediction sets.

    Attributes:
        target_coverage: The coverage that was chosen (``train.conformal_coverage``).
        overall: All images.
        per_class: The images of each class, in the order of the model.
    """

    target_coverage: float
    overall: SetMetrics
    per_class: dict[str, SetMetrics]


class RiskAtCoverage(_Entry):
    """Risk if only the most confident images are answered.

    Attributes:
        coverage: Fraction of the images that are answered. It can be larger than planned, because
            images of equal confidence are answered together.
        min_confidence: Lowest confidence of these images.
        risk: Fraction of wrong predictions among them.
    """

    coverage: float
    min_confidence: float
    risk: Estimate


class ReferralMetrics(_Entry):
    """Effect of the referral threshold, which was chosen on validation images.

    Attributes:
        target_accuracy: The accuracy that was chosen (``train.referral_accuracy``).
        min_confidence: Images with a lower confidence are referred. None: no threshold reached the
            accuracy on the validation images.
        reason: Why there is no threshold.
        referred: Fraction of the images that are referred.
        accuracy_answered: Accuracy of the images that are not referred.
        accuracy_referred: Accuracy of the predictions of referred images.
    """

    target_accuracy: float
    min_confidence: float | None
    reason: str | None
    referred: Estimate
    accuracy_answered: Estimate
    accuracy_referred: Estimate


class SelectiveMetrics(_Entry):
    """Selective prediction: only images with a high confidence are answered.

    Attributes:
        risk: Fraction of wrong predictions if all images are answered. It is also the AURC of a
            confidence without information.
        aurc: Area under the risk-coverage curve. Lower is better.
        lowest_aurc: AURC if all correct predictions had a higher confidence than all wrong ones.
        curve: Points of the curve, with increasing coverage.
        referral: Effect of the referral threshold.
    """

    risk: Estimate
    aurc: Estimate
    lowest_aurc: float
    curve: tuple[RiskAtCoverage, ...]
    referral: ReferralMetrics


class UncertaintyMetrics(_Entry):
    """Uncertainty of the predictions of some images.

    Attributes:
        n: Number of images.
        groups: Number of groups of related images.
        conformal: Conformal prediction sets.
        selective: Selective prediction.
    """

    n: int
    groups: int
    conformal: ConformalMetrics
    selective: SelectiveMetrics


class Uncertainty(VersionedModel):
    """What the model knows about its own errors, on test images.

    Attributes:
        provenance: Model, tables and software.
        decision: Whether the predicted class is the most probable one for equal class frequencies
            (``balanced``) or for those of the training images (``frequency``).
        thresholds: Thresholds of the conformal prediction sets, from the model file.
        referral: The referral threshold and its effect on the validation images, from the model
            file.
        test: Test images.
        test_clean: Test images without leaked images; only with the policy ``original``.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    provenance: MetricsProvenance
    decision: Decision
    thresholds: ConformalThresholds
    referral: ReferralThreshold
    test: UncertaintyMetrics
    test_clean: UncertaintyMetrics | None = None

    @model_serializer(mode="wrap")
    def _leave_out_absent_subset(self, serialize: SerializerFunctionWrapHandler) -> object:
        entry = serialize(self)
        return {key: value for key, value in entry.items() if value is not None}
