"""How many images the unknown score flags; content of ``unknown.json``.

``UnknownResults.model_json_schema()`` documents the file.
"""

from collections.abc import Sequence

import pandas as pd
from pydantic import ConfigDict

from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.metrics.intervals import Estimate, proportion, unavailable
from skin_lesions.models.postprocessing.unknown_score import UnknownScoreFit


class UnknownResults(VersionedModel):
    """Images that the unknown score flags.

    Attributes:
        provenance: Model, tables and software.
        method: Method of the score, as in ``train.unknown_score.method``.
        threshold: Images with a higher score are flagged.
        training_images: Number of images that the statistics were fitted on.
        validation: Fraction of the validation images that are flagged. The threshold was fitted on
            them, so this fraction has no interval.
        test: Fraction of the test images that are flagged.
        per_class: The same for the test images with this label.
        accuracy_flagged: Accuracy of the flagged test images.
        accuracy_not_flagged: Accuracy of the other test images.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provenance: MetricsProvenance
    method: str
    threshold: float
    training_images: int
    validation: Estimate
    test: Estimate
    per_class: dict[str, Estimate]
    accuracy_flagged: Estimate
    accuracy_not_flagged: Estimate


def compute_unknown_results(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    fit: UnknownScoreFit,
    provenance: MetricsProvenance,
) -> UnknownResults:
    """Count the flagged images of each split and class.

    Args:
        predictions: Columns split, label, predicted, group_id and is_unknown.
        classes: Classes of the model.
        fit: The fitted unknown score of the model.
        provenance: What the images were predicted with.
    """
    test = predictions[predictions["split"] == "test"]
    flagged = test["is_unknown"]
    return UnknownResults(
        provenance=provenance,
        method=fit.statistics.method,
        threshold=fit.threshold,
        training_images=fit.statistics.n,
        validation=Estimate(
            value=fit.flagged_fraction,
            low=None,
            high=None,
            n=fit.n,
            reason="the threshold was fitted on these images",
        ),
        test=_fraction(flagged, test, "there are no test images"),
        per_class={
            label: _fraction(flagged[test["label"] == label], test, "no test images of this class")
            for label in classes
        },
        accuracy_flagged=_accuracy(test[flagged], "no test image is flagged"),
        accuracy_not_flagged=_accuracy(test[~flagged], "all test images are flagged"),
    )


def _fraction(success: pd.Series, rows: pd.DataFrame, no_rows: str) -> Estimate:
    """Return the fraction of successes among some rows, with an interval over groups."""
    if success.empty:
        return unavailable(no_rows)
    return proportion(success, rows.loc[success.index, "group_id"].astype(str))


def _accuracy(rows: pd.DataFrame, no_rows: str) -> Estimate:
    return _fraction(rows["label"] == rows["predicted"], rows, no_rows)
