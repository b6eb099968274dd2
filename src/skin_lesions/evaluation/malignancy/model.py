"""Content of ``malignancy.json``."""

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.models.postprocessing.malignancy_thresholds import Criterion


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PredictiveValues(_Result):
    """Predictive values at a stated prevalence of malignant lesions.

    Attributes:
        prevalence: Fraction of malignant lesions in the stated population.
        positive: Fraction of malignant lesions among those that the threshold calls malignant.
        negative: Fraction of benign lesions among the others.
    """

    prevalence: float
    positive: Estimate
    negative: Estimate


class OperatingPoint(_Result):
    """Results at a threshold that was chosen on validation images.

    Attributes:
        criterion: What the threshold was chosen for, on the validation images.
        target: The sensitivity or specificity that it reaches at least there.
        chosen_for: Criterion, target and number of validation images in words.
        threshold: Images with at least this malignancy score count as malignant.
        validation_sensitivity: Sensitivity on the validation images.
        validation_specificity: Specificity on the validation images.
        sensitivity: Sensitivity on these images.
        specificity: Specificity on these images.
        predictive_values: Predictive values, one entry for each of ``evaluate.prevalences``.
    """

    criterion: Criterion
    target: float
    chosen_for: str
    threshold: float
    validation_sensitivity: float
    validation_specificity: float
    sensitivity: Estimate
    specificity: Estimate
    predictive_values: tuple[PredictiveValues, ...]


class DecisionPoint(_Result):
    """Net benefit at one threshold probability; that of treating nobody is 0.

    Attributes:
        threshold_probability: Risk of malignancy above which one would act.
        model: Net benefit of acting if the malignancy score is at least this risk.
        treat_all: Net benefit of acting always.
        model_minus_treat_all: Their difference.
    """

    threshold_probability: float
    model: Estimate
    treat_all: Estimate
    model_minus_treat_all: Estimate


class MalignancySubset(_Result):
    """Results of a subset of the images. Images of excluded classes are left out.

    Attributes:
        n: Number of images.
        groups: Number of groups of related images.
        malignant: Number of malignant images.
        benign: Number of benign images.
        auroc: AUROC of the malignancy score, 0 to 1.
        partial_auroc: Partial AUROC above a sensitivity of 80 %, 0 to 0.2.
        operating_points: Results at the thresholds of the model.
        decision_curve: Net benefit at each threshold probability.
    """

    n: int
    groups: int
    malignant: int
    benign: int
    auroc: Estimate
    partial_auroc: Estimate
    operating_points: tuple[OperatingPoint, ...]
    decision_curve: tuple[DecisionPoint, ...]


class MalignancyResults(VersionedModel):
    """Results of each subset of the test images.

    Attributes:
        split_policy: Policy of the split, as in ``split.policy``.
        provenance: Model, tables and software.
        malignant_classes: Classes that count as malignant.
        benign_classes: Classes that count as benign.
        excluded_classes: Classes of which it is not known. Their images are left out.
        no_operating_points: Why there are no operating points; None if there are.
        test: Test images.
        test_clean: Test images without leaked images; only with the policy ``original``.
        test_leaked: Leaked test images only; only with the policy ``original``.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    split_policy: str
    provenance: MetricsProvenance
    malignant_classes: tuple[str, ...]
    benign_classes: tuple[str, ...]
    excluded_classes: tuple[str, ...]
    no_operating_points: str | None
    test: MalignancySubset
    test_clean: MalignancySubset | None = None
    test_leaked: MalignancySubset | None = None

    @model_serializer(mode="wrap")
    def _leave_out_absent_subsets(self, serialize: SerializerFunctionWrapHandler) -> object:
        entry = serialize(self)
        return {
            key: value
            for key, value in entry.items()
            if value is not None or key not in ("test_clean", "test_leaked")
        }
