"""Robustness: accuracy that a model loses on corrupted test images.

Importing this module does not import torch.
"""

from collections.abc import Sequence
from functools import partial

import pandas as pd
from pydantic import BaseModel, ConfigDict

from skin_lesions.config.evaluate import Corruption, Evaluate
from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.evaluation.scorecard.accuracy import ACCURACY
from skin_lesions.evaluation.scorecard.arrays import PredictionArrays, prediction_arrays
from skin_lesions.evaluation.scorecard.class_means import BALANCED_ACCURACY
from skin_lesions.evaluation.scorecard.metric import Evaluation
from skin_lesions.evaluation.scorecard.per_class import RECALL
from skin_lesions.metrics import paired
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.models.trained_model import TrainedModel

STRENGTHS = (1, 2, 3)
NOT_MEASURED = "evaluate.robustness.enabled is false"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CorruptedScore(_Entry):
    """Scores of the test images after a corruption of one strength.

    Attributes:
        strength: 1 (weakest) to 3.
        setting: The strength in the unit of the corruption.
        accuracy: Accuracy on the corrupted images.
        balanced_accuracy: Balanced accuracy on the corrupted images.
        accuracy_lost: Accuracy on the original minus that on the corrupted images, with the paired
            interval.
        balanced_accuracy_lost: The same for balanced accuracy.
    """

    strength: int
    setting: float
    accuracy: Estimate
    balanced_accuracy: Estimate
    accuracy_lost: Estimate
    balanced_accuracy_lost: Estimate


class CorruptionScores(_Entry):
    """Scores after one corruption.

    Attributes:
        name: Name of the corruption, as in ``evaluate.robustness.corruptions``.
        title: Name in reports.
        unit: Unit of the settings.
        scores: One entry per strength, the weakest first.
    """

    name: Corruption
    title: str
    unit: str
    scores: tuple[CorruptedScore, ...]


class RobustnessResult(VersionedModel):
    """Content of ``robustness.json``.

    Attributes:
        provenance: Model, tables and software.
        measured: Whether the robustness was measured.
        reason: Why it was not measured; None if it was.
        n: Number of test images.
        groups: Number of groups of test images.
        accuracy: Accuracy on the original images; None if not measured.
        balanced_accuracy: Balanced accuracy on the original images; None if not measured.
        corruptions: The scores after each corruption; empty if not measured.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    provenance: MetricsProvenance
    measured: bool
    reason: str | None
    n: int
    groups: int
    accuracy: Estimate | None
    balanced_accuracy: Estimate | None
    corruptions: tuple[CorruptionScores, ...]

    def worst(self) -> tuple[CorruptionScores, CorruptedScore] | None:
        """Return the corruption and strength with the largest loss of balanced accuracy."""
        losses = [
            (score.balanced_accuracy_lost.value, corruption, score)
            for corruption in self.corruptions
            for score in corruption.scores
            if score.balanced_accuracy_lost.value is not None
        ]
        if not losses:
            return None
        _, corruption, score = max(losses, key=lambda entry: entry[0])
        return corruption, score


def not_measured(test: pd.DataFrame, provenance: MetricsProvenance) -> RobustnessResult:
    """Return a result which states that the robustness was not measured."""
    return RobustnessResult(
        provenance=provenance,
        measured=False,
        reason=NOT_MEASURED,
        n=len(test),
        groups=int(test["group_id"].nunique()),
        accuracy=None,
        balanced_accuracy=None,
        corruptions=(),
    )


def measure_robustness(
    model: TrainedModel,
    pixels: PixelStore,
    test: pd.DataFrame,
    metadata: pd.DataFrame,
    evaluate: Evaluate,
    provenance: MetricsProvenance,
) -> RobustnessResult:
    """Predict the test images again for each corruption and strength, and compare the scores.

    Args:
        model: The model.
        pixels: Decoded images.
        test: Predictions of the original test images.
        metadata: Metadata of these images, for a model with late fusion.
        evaluate: Batch size, device, seed and corruptions.
        provenance: Provenance of the result.
    """
    original = prediction_arrays(test, model.classes)
    return RobustnessResult(
        provenance=provenance,
        measured=True,
        reason=None,
        n=original.n,
        groups=int(test["group_id"].nunique()),
        accuracy=ACCURACY.estimate(_evaluation(original)),
        balanced_accuracy=BALANCED_ACCURACY.estimate(_evaluation(original)),
        corruptions=tuple(
            _scores(name, model, pixels, test, metadata, original, evaluate)
            for name in evaluate.robustness.corruptions
        ),
    )


def _scores(
    name: Corruption,
    model: TrainedModel,
    pixels: PixelStore,
    test: pd.DataFrame,
    metadata: pd.DataFrame,
    original: PredictionArrays,
    evaluate: Evaluate,
) -> CorruptionScores:
    from skin_lesions.evaluation.corruptions import (  # noqa: PLC0415 (torch)
        CORRUPTIONS,
        CorruptedImages,
    )
    from skin_lesions.evaluation.predictions import predict_images  # noqa: PLC0415 (torch)

    spec = CORRUPTIONS[name]
    image_ids = test["image_id"].tolist()
    scores = []
    for strength in STRENGTHS:
        corrupt = partial(
            CorruptedImages.of,
            image_ids=image_ids,
            corruption=name,
            strength=strength,
            seed=evaluate.seed,
        )
        predicted = predict_images(
            model, pixels, test, evaluate.batch_size, evaluate.device, corrupt, metadata
        )
        corrupted = prediction_arrays(predicted, model.classes)
        scores.append(_score(strength, spec.settings[strength - 1], original, corrupted))
    return CorruptionScores(name=name, title=spec.title, unit=spec.unit, scores=tuple(scores))


def _score(
    strength: int, setting: float, original: PredictionArrays, corrupted: PredictionArrays
) -> CorruptedScore:
    evaluation = _evaluation(corrupted)
    # What is lost is the original minus the corrupted score, so the corrupted one is the baseline.
    return CorruptedScore(
        strength=strength,
        setting=setting,
        accuracy=ACCURACY.estimate(evaluation),
        balanced_accuracy=BALANCED_ACCURACY.estimate(evaluation),
        accuracy_lost=paired.accuracy_difference(
            corrupted.correct, original.correct, original.group
        ),
        balanced_accuracy_lost=paired.balanced_accuracy_difference(
            original.label, corrupted.predicted, original.predicted, original.group
        ),
    )


def _evaluation(rows: PredictionArrays) -> Evaluation:
    """Return the rows with the recall of each class, which balanced accuracy requires."""
    classes: Sequence[int] = range(len(rows.classes))
    return Evaluation(rows=rows, per_class=[{"recall": RECALL.estimate(rows, c)} for c in classes])
