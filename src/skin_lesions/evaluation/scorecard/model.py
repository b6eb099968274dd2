"""Content of ``metrics.json``. ``Scorecard.model_json_schema()`` returns its JSON schema."""

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.metrics.intervals import Estimate


class _EstimatesByName(BaseModel):
    """Base of entries that contain, besides their fields, one estimate per registered metric."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Estimate] = Field(init=False)

    def __getitem__(self, metric: str) -> Estimate:
        """Return the estimate of a metric by its key in the registry."""
        return self.__pydantic_extra__[metric]

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The estimate of each metric by its key, in the order of the registry."""
        return dict(self.__pydantic_extra__)


class ClassMetrics(_EstimatesByName):
    """Metrics of one class.

    Attributes:
        support: Number of images of the class.
        correct: Number of these that are predicted as the class.
    """

    support: int
    correct: int


class ConfusionMatrix(BaseModel):
    """Counts of images: rows are labels, columns are predictions, in the order of ``classes``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class MalignancyMetrics(BaseModel):
    """Malignant against benign diagnoses.

    Attributes:
        auroc: AUROC of the summed probability of the malignant classes (malignancy score).
        sensitivity: Fraction of malignant images that are predicted as malignant.
        specificity: Fraction of benign images that are predicted as benign.
        classes: The malignant classes.
        excluded_classes: Classes of which it is not known. Their images are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    auroc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    classes: tuple[str, ...]
    excluded_classes: tuple[str, ...]


class RangeByChance(BaseModel):
    """Median of a simulated statistic, and the range of 95 % of the simulations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    median: float
    low: float
    high: float


class BeforeScaling(BaseModel):
    """Calibration of the same predictions before temperature scaling.

    Attributes:
        temperature: The fitted temperature.
        expected_calibration_error: As ``expected_calibration_error``, at temperature 1.
        classwise_calibration_error: As ``classwise_calibration_error``, at temperature 1.
        overconfidence: Mean confidence minus accuracy, at temperature 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float
    expected_calibration_error: Estimate
    classwise_calibration_error: Estimate
    overconfidence: Estimate


class CalibrationMetrics(BaseModel):
    """Calibration of the probabilities.

    Attributes:
        error_by_chance: Expected calibration error that calibrated probabilities would show on
            these images.
        classwise_error_by_chance: The same for the class-wise calibration error.
        overconfidence: Mean confidence minus accuracy. Negative: underconfident.
        before_scaling: The same predictions before temperature scaling; None if the temperature is
            not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    error_by_chance: RangeByChance
    classwise_error_by_chance: RangeByChance
    overconfidence: Estimate
    before_scaling: BeforeScaling | None = None


class SplitMetrics(_EstimatesByName):
    """Metrics of the predictions of one split, or of a subset of it.

    Attributes:
        n: Number of images.
        groups: Number of groups of related images.
        per_class: Metrics of each class, in the order of the model.
        confusion: The confusion matrix.
        calibration: Calibration of the probabilities.
        malignant: Malignant against benign diagnoses.
    """

    n: int
    groups: int
    per_class: dict[str, ClassMetrics]
    confusion: ConfusionMatrix
    calibration: CalibrationMetrics
    malignant: MalignancyMetrics

    @model_serializer(mode="wrap")
    def _estimates_before_details(self, serialize: SerializerFunctionWrapHandler) -> object:
        """Put the overall metrics before the long entries, because people read the file."""
        entry = serialize(self)
        details = ("calibration", "per_class", "confusion", "malignant")
        return {key: entry[key] for key in entry if key not in details} | {
            key: entry[key] for key in details
        }


class Scorecard(VersionedModel):
    """Metrics of each subset of the predictions.

    Attributes:
        split_policy: Policy of the split, as in ``split.policy``.
        provenance: Model, tables and software.
        validation: Validation images.
        test: Test images.
        test_clean: Test images without leaked images; only with the policy ``original``.
        test_leaked: Leaked test images only; only with the policy ``original``.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    split_policy: str
    provenance: MetricsProvenance
    validation: SplitMetrics
    test: SplitMetrics
    test_clean: SplitMetrics | None = None
    test_leaked: SplitMetrics | None = None

    @model_serializer(mode="wrap")
    def _leave_out_absent_subsets(self, serialize: SerializerFunctionWrapHandler) -> object:
        entry = serialize(self)
        return {key: value for key, value in entry.items() if value is not None}
