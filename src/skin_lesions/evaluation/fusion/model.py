"""Content of ``fusion.json``."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.evaluation.comparison import MetricDifference
from skin_lesions.metrics.intervals import Estimate


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputDifferences(_Entry):
    """Image alone, metadata alone, and both, on the same test images.

    Attributes:
        n: Number of test images.
        known: Number of them with at least one usable value.
        by_metadata: Each metric of the image alone (baseline) and of both (candidate).
        by_image: Each metric of the metadata alone (baseline) and of both (candidate).
    """

    n: int
    known: int
    by_metadata: dict[str, MetricDifference]
    by_image: dict[str, MetricDifference]


class MissingLevel(_Entry):
    """Scores if a fraction of the known values of the test images is removed at random.

    Attributes:
        removed: The fraction.
        balanced_accuracy: Mean over the random choices.
        lowest: The lowest of them.
        highest: The highest of them.
    """

    removed: float
    balanced_accuracy: float
    lowest: float
    highest: float


class ChangedColumn(_Entry):
    """A column of the model, and the effect of another value of it on the test images.

    Attributes:
        name: Name of the column.
        kind: Its type.
        known: Number of test images with a value.
        unseen: Number of these whose value is unknown to the model; it counts as missing.
        changed: Fraction of the predictions that change if the value is replaced by another one,
            over the images with a usable value. The other values are weighted by their frequency.
            Without a value for texts, which are not replaced.
        removed: The same if the value is removed.
    """

    name: str
    kind: str
    known: int
    unseen: int
    changed: Estimate
    removed: Estimate


class FusionResults(VersionedModel):
    """What the metadata add to the image.

    Attributes:
        provenance: Model, tables and software.
        measured: Whether the model uses metadata.
        reason: Why there are no results; None if there are.
        method: ``late`` if the metadata have a model of their own, ``concat`` if they were trained
            together with the network.
        weight: Weight of the evidence of the metadata.
        predictive_missingness: Columns whose missing values predict the class of training images.
        equalized: Whether their missing rates were made equal over the classes in the training.
        overall: All test images.
        sources: The test images of each source with at least ``evaluate.slices.min_images``
            images; empty if there is only one source.
        missing: Scores by the fraction of values that are removed.
        columns: Each column of the model.
        draws: Number of random choices of removed values.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    provenance: MetricsProvenance
    measured: bool
    reason: str | None = None
    method: Literal["late", "concat"] = "late"
    weight: float = 0.0
    predictive_missingness: tuple[str, ...] = ()
    equalized: bool = True
    overall: InputDifferences | None = None
    sources: dict[str, InputDifferences] = Field(default_factory=dict)
    missing: tuple[MissingLevel, ...] = ()
    columns: tuple[ChangedColumn, ...] = ()
    draws: int = 0
