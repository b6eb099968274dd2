"""Content of ``comparison.json``. ``Comparison.model_json_schema()`` returns its JSON schema."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from skin_lesions.core.versions import VersionedModel
from skin_lesions.evaluation.scorecard import ConfusionMatrix
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.metrics.paired import ExactTest

# ``unknown``: the difference has no interval.
Verdict = Literal["candidate_better", "baseline_better", "no_difference_shown", "unknown"]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComparedRun(_Entry):
    """One of the two compared sets of predictions.

    Attributes:
        source: Name of the data root or file with the predictions, without its path.
        predictions_version: Version of the predictions.
        model_version: Version of the model.
        split_table_version: Version of the split table.
        n: Number of test images.
        groups: Number of groups of related test images.
        leaked: Number of test images that have a related image in train or val of the original
            split.
        confusion: Confusion matrix of the test images.
    """

    source: str
    predictions_version: str
    model_version: str
    split_table_version: str
    n: int
    groups: int
    leaked: int
    confusion: ConfusionMatrix


class MetricDifference(_Entry):
    """A metric of both models, and its difference (candidate minus baseline).

    Attributes:
        name: Name of the metric in reports.
        higher_is_better: Whether a higher value is better.
        baseline: Value of the baseline.
        candidate: Value of the candidate.
        difference: Candidate minus baseline, with its 95 % interval.
        verdict: What the interval shows, without a correction for the number of metrics.
    """

    name: str
    higher_is_better: bool
    baseline: Estimate
    candidate: Estimate
    difference: Estimate
    verdict: Verdict


class ClassDifference(_Entry):
    """The recall of one class by both models.

    Attributes:
        support: Images of the class among the test images of baseline and candidate.
        baseline: Recall of the baseline.
        candidate: Recall of the candidate.
        difference: Candidate minus baseline, with its 95 % interval.
        p_value: Exact sign test over the groups; None if the comparison is not paired.
        p_adjusted: The p-value after Holm's correction for the number of tested classes.
        verdict: What the adjusted p-value shows. Without one: ``unknown``.
    """

    support: tuple[int, int]
    baseline: Estimate
    candidate: Estimate
    difference: Estimate
    p_value: float | None
    p_adjusted: float | None
    verdict: Verdict


class Disagreement(_Entry):
    """A test image with two different predictions.

    Attributes:
        file: The file, in the data of the candidate.
        image_id: SHA-256 hash of the file.
        label: The label.
        baseline: Class predicted by the baseline.
        candidate: Class predicted by the candidate.
        baseline_probability: Probability of the label by the baseline.
        candidate_probability: Probability of the label by the candidate.
    """

    file: str
    image_id: str
    label: str
    baseline: str
    candidate: str
    baseline_probability: float
    candidate_probability: float


class Comparison(VersionedModel):
    """Two models, compared on their test images.

    Attributes:
        paired: Whether both predicted the same test images. Otherwise the intervals are unpaired.
        classes: The classes, in the order of the model.
        baseline: The baseline.
        candidate: The candidate.
        common_images: Number of test images of both.
        metrics: The difference of each metric, by its key in ``metrics.json``.
        mcnemar: McNemar's exact test of the accuracy, over images.
        groups_test: Exact sign test of the accuracy, over groups.
        per_class: Difference of the recall of each class.
        disagreements: Number of images with two different predictions.
        examples: Some of these, the largest changes of the probability of the label first.
        verdict: What the interval of the balanced accuracy shows.
        package_version: Version of this package.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    paired: bool
    classes: tuple[str, ...]
    baseline: ComparedRun
    candidate: ComparedRun
    common_images: int
    metrics: dict[str, MetricDifference]
    mcnemar: ExactTest | None
    groups_test: ExactTest | None
    per_class: dict[str, ClassDifference]
    disagreements: int | None
    examples: tuple[Disagreement, ...]
    verdict: Verdict
    package_version: str
