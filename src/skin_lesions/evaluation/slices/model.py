"""Content of ``slices.json``."""

from pydantic import BaseModel, ConfigDict

from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.metrics.intervals import Estimate


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Slice(_Result):
    """Results of the test images with one value of a column.

    All estimates are without value if there are fewer than ``evaluate.slices.min_images`` images.

    Attributes:
        value: The value, the band of ages, or ``missing``.
        n: Number of images.
        groups: Number of groups of related images.
        classes_evaluated: Number of classes that have images in the slice.
        malignant: Number of malignant images.
        accuracy: Fraction of correct predictions.
        balanced_accuracy: Mean recall of the classes that have images in the slice.
        malignant_auroc: AUROC of malignant against benign.
        sensitivity: Fraction of malignant images that are predicted as malignant.
        specificity: Fraction of benign images that are predicted as benign.
    """

    value: str
    n: int
    groups: int
    classes_evaluated: int
    malignant: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    malignant_auroc: Estimate
    sensitivity: Estimate
    specificity: Estimate


class Gap(_Result):
    """Difference of balanced accuracy between two slices, over the classes that both have.

    Slices differ in their mix of classes. The difference of their balanced accuracies would also
    show how difficult their classes are. Both slices have at least ``evaluate.slices.min_images``
    images of these classes.

    Attributes:
        higher: Value of the slice with the higher balanced accuracy.
        lower: Value of the other one.
        classes: Classes that have images in both slices.
        of_higher: Balanced accuracy of the first slice over these classes.
        of_lower: The same for the second slice.
        difference: Their difference, at least 0, with its 95 % interval; ``n`` counts the images of
            these classes in both slices.
        simultaneous_low: Lower end of the interval that allows for all comparisons (Bonferroni).
            All these intervals together contain the true differences with at least 95 %.
        simultaneous_high: Upper end of it.
        is_shown: Whether that interval is above 0.
    """

    higher: str
    lower: str
    classes: tuple[str, ...]
    of_higher: float
    of_lower: float
    difference: Estimate
    simultaneous_low: float | None
    simultaneous_high: float | None
    is_shown: bool


class SliceColumn(_Result):
    """The slices of one column; each test image is in exactly one of them.

    Attributes:
        column: Name of the column.
        slices: The slices, in the order of the ages or from the most to the least images.
        gaps: Every pair of slices that can be compared, from the largest to the smallest
            difference.
        no_gap: Why no two slices can be compared; None if some can.
    """

    column: str
    slices: tuple[Slice, ...]
    gaps: tuple[Gap, ...]
    no_gap: str | None


class LeftOutColumn(_Result):
    """A column of the image table without slices, with the reason."""

    column: str
    reason: str


class SliceTables(_Result):
    """Results of the subgroups of some images; the fields are those of ``SliceResults``."""

    min_images: int
    comparisons: int
    columns: tuple[SliceColumn, ...]
    left_out: tuple[LeftOutColumn, ...]


class SliceResults(VersionedModel):
    """Results of the subgroups of the test images.

    Attributes:
        split_policy: Policy of the split, as in ``split.policy``.
        provenance: Model, tables and software.
        min_images: Minimum number of images of a slice with results.
        comparisons: Number of gaps of all columns, for which the simultaneous intervals allow.
        columns: The columns with their slices.
        left_out: The other columns.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    split_policy: str
    provenance: MetricsProvenance
    min_images: int
    comparisons: int
    columns: tuple[SliceColumn, ...]
    left_out: tuple[LeftOutColumn, ...]
