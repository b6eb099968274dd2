"""Content of ``external_metrics.json``: results of a finished model on images from elsewhere."""

from pydantic import BaseModel, ConfigDict

from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.provenance import ExternalMetricsProvenance
from skin_lesions.evaluation.malignancy import MalignancySubset
from skin_lesions.evaluation.scorecard import SplitMetrics
from skin_lesions.evaluation.slices.model import SliceTables
from skin_lesions.evaluation.uncertainty import UncertaintyMetrics
from skin_lesions.metrics.intervals import Estimate


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageCounts(_Result):
    """Number of external files of each fate; together they are all files.

    Attributes:
        files: All files.
        quarantined: Unreadable files, and files without a label.
        ignored: Files with a label that the map ignores.
        conflicting: Files whose pixels occur with two classes.
        repeated: Further files with equal bytes.
        overlapping: Files that overlap with training or validation images of the model.
        evaluated: Files in the results.
        groups: Groups of related images among these.
    """

    files: int
    quarantined: int
    ignored: int
    conflicting: int
    repeated: int
    overlapping: int
    evaluated: int
    groups: int


class MappedLabel(_Result):
    """A label of the external images, its class (None: ignored) and its number of files."""

    label: str
    class_name: str | None
    files: int


class OverlapSummary(_Result):
    """The overlap with the training and validation images of the model.

    Attributes:
        counts: Number of images of each kind that are left out, by the kind.
        training_images: Number of training and validation images of the model.
        compared: Number of these in the near-duplicate search. The others are not on this machine,
            so that only exact duplicates of them can be found.
        with_overlap: Metrics over all outputs that include the overlapping images, by the key of
            the metric; None if there are none.
    """

    counts: dict[str, int]
    training_images: int
    compared: int
    with_overlap: dict[str, Estimate] | None

    @property
    def is_complete(self) -> bool:
        """Whether all training and validation images were compared."""
        return self.compared == self.training_images


class InternalTest(_Result):
    """The internal test images that the external images are compared with.

    Attributes:
        n: Number of test images with a class that external images also have.
        groups: Number of groups of related images.
        left_out: Number of test images of other classes.
        common_images: Number of these test images that are also external images. The unpaired
            intervals of the differences treat the two sets as independent.
    """

    n: int
    groups: int
    left_out: int
    common_images: int


class ComparedMetrics(_Result):
    """Metrics of the external images, and of the internal test images of the same classes.

    Attributes:
        external: Metrics of the external images.
        internal: Metrics of the internal test images; None without them.
        differences: External minus internal, with unpaired intervals, by the key of the metric.
            Only metrics with an interval are compared.
    """

    external: SplitMetrics
    internal: SplitMetrics | None
    differences: dict[str, Estimate]


class PointDifference(_Result):
    """External minus internal at a malignancy threshold of the model."""

    criterion: str
    target: float
    sensitivity: Estimate
    specificity: Estimate


class ComparedMalignancy(_Result):
    """Malignant against benign, at the thresholds of the model file.

    Attributes:
        malignant_classes: Classes that count as malignant.
        excluded_classes: Classes of which it is not known. Their images are left out.
        no_operating_points: Why there are no operating points; None if there are.
        external: Results of the external images.
        internal: Results of the internal test images of the same classes; None without them.
        auroc_difference: External minus internal.
        point_differences: External minus internal at each threshold.
    """

    malignant_classes: tuple[str, ...]
    excluded_classes: tuple[str, ...]
    no_operating_points: str | None
    external: MalignancySubset
    internal: MalignancySubset | None
    auroc_difference: Estimate | None
    point_differences: tuple[PointDifference, ...]


class ComparedUncertainty(_Result):
    """Prediction sets and referral, with the thresholds of the model file.

    Attributes:
        external: Results of the external images.
        internal: Results of the internal test images of the same classes; None without them.
        referred_difference: Fraction of referred images, external minus internal.
        coverage_difference: Coverage of the prediction sets, external minus internal.
    """

    external: UncertaintyMetrics
    internal: UncertaintyMetrics | None
    referred_difference: Estimate | None
    coverage_difference: Estimate | None


class ComparedUnknown(_Result):
    """Fraction of images that the unknown score of the model flags.

    Attributes:
        external: Fraction of the external images.
        internal: Fraction of the internal test images of the same classes; None without them.
        difference: External minus internal.
        per_class: Fraction of the external images of each class that has images.
    """

    external: Estimate
    internal: Estimate | None
    difference: Estimate | None
    per_class: dict[str, Estimate]


class TemperatureCheck(_Result):
    """How far the temperature of the model is from the best one for the external images.

    Attributes:
        of_model: The temperature in the model file. All results use it.
        best: The temperature with the lowest log loss on the external images. It is not used.
            Above that of the model: the probabilities are too extreme.
        log_loss_of_model: Log loss with the temperature of the model, nats per image.
        log_loss_of_best: Log loss with the best temperature.
    """

    of_model: float
    best: Estimate
    log_loss_of_model: float
    log_loss_of_best: float | None


class ExternalResults(VersionedModel):
    """Results of a finished model on one set of images from elsewhere. Nothing was fitted on them.

    Attributes:
        name: Name of the set.
        provenance: Model, tables and software.
        classes: Classes of the model.
        classes_present: Classes that have external images.
        counts: Number of files of each fate.
        labels: The labels and their classes.
        overlap: The overlap with the training and validation images.
        internal: The internal test images of the same classes; None without predictions of them.
        no_internal: Why there are none; None if there are.
        all_outputs: Metrics with all outputs of the model: it can predict any class.
        present_classes: Metrics with the classes present only: probabilities are renormalized over
            them, and the prediction is one of them. None if all classes or only one are present.
        malignancy: Malignant against benign.
        uncertainty: Prediction sets and referral.
        unknown: Fraction of images that are flagged as unknown.
        temperature: How far the temperature of the model is off.
        slices: Subgroups of the external images.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    name: str
    provenance: ExternalMetricsProvenance
    classes: tuple[str, ...]
    classes_present: tuple[str, ...]
    counts: ImageCounts
    labels: tuple[MappedLabel, ...]
    overlap: OverlapSummary
    internal: InternalTest | None
    no_internal: str | None
    all_outputs: ComparedMetrics
    present_classes: ComparedMetrics | None
    malignancy: ComparedMalignancy
    uncertainty: ComparedUncertainty
    unknown: ComparedUnknown
    temperature: TemperatureCheck
    slices: SliceTables
