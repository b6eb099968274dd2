"""Predictions for new images: class, probabilities, prediction set, and whether to refer the image.

It applies the postprocessing that is saved with a model, with or without torch.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from skin_lesions.deployment.predictor import ModelDescription
from skin_lesions.models.network_outputs import NetworkOutputs
from skin_lesions.models.postprocessing.conformal import set_names
from skin_lesions.models.postprocessing.metadata_fusion import MetadataFusion, fused_logits
from skin_lesions.models.postprocessing.probabilities import class_probabilities
from skin_lesions.models.postprocessing.unknown_score import UnknownScorer

ReferralReason = Literal["uncertain", "unknown", "unreadable"]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Prediction for one image.

    Attributes:
        predicted: The predicted class.
        confidence: Probability of the predicted class for the class frequencies of the training
            images. The referral threshold applies to it.
        probabilities: Calibrated probability of each class, in the order of the model, for the
            class frequencies of the training images.
        balanced_probabilities: The same for equal class frequencies, if the predicted class is the
            most probable one of these; otherwise None.
        prediction_set: Classes of the conformal prediction set, the most probable first. It may be
            empty.
        unknown_score: How little the image resembles the training images.
        referral_reasons: Why a person must look at the image; empty if it is not referred.
        missing_metadata: Columns of the model without a usable value for the image. None if the
            model uses images only.
    """

    predicted: str
    confidence: float
    probabilities: tuple[float, ...]
    balanced_probabilities: tuple[float, ...] | None
    prediction_set: tuple[str, ...]
    unknown_score: float
    referral_reasons: tuple[ReferralReason, ...]
    missing_metadata: tuple[str, ...] | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether the image belongs to none of the classes, as far as the unknown score shows."""
        return "unknown" in self.referral_reasons

    @property
    def refer(self) -> bool:
        """Whether a person must look at the image."""
        return bool(self.referral_reasons)


class Postprocessor:
    """Turns outputs of the network of a model into predictions."""

    def __init__(self, description: ModelDescription) -> None:
        self._classes = description.classes
        self._fitted = description.postprocessing
        self._scorer = UnknownScorer(self._fitted.unknown_score.statistics)

    def predictions(
        self, outputs: NetworkOutputs, metadata: pd.DataFrame | None = None
    ) -> list[Prediction]:
        """Return the prediction of each of n images.

        Args:
            outputs: Outputs of the network.
            metadata: Row of clinical metadata of each image; None: the images alone.

        An image is referred as uncertain if its confidence is below the referral threshold. If the
        model has no such threshold, no images of it are accurate enough, and all are uncertain.

        Raises:
            ValueError: The logits are not finite, or do not match the classes of the model.
        """
        fitted, classes = self._fitted, self._classes
        temperature = fitted.calibration.temperature
        logits = fused_logits(outputs.logits, fitted.metadata_fusion, temperature, metadata)
        found = class_probabilities(logits, temperature, fitted.frequencies)
        missing = _missing_metadata(fitted.metadata_fusion, metadata, len(outputs.logits))
        members = fitted.conformal.contains(found.frequency)  # (n, classes)
        sets = set_names(members, found.frequency, classes)
        scores = self._scorer.scores(outputs.logits, outputs.features)  # (n,)
        is_unknown = scores > fitted.unknown_score.threshold  # (n,)
        confidence = found.confidence  # (n,)
        is_uncertain = fitted.referral.refers(confidence)  # (n,) or None
        is_balanced = fitted.frequencies.decision == "balanced"
        predictions = []
        for i, number in enumerate(found.predicted):
            reasons: list[ReferralReason] = []
            if is_uncertain is None or is_uncertain[i]:
                reasons.append("uncertain")
            if is_unknown[i]:
                reasons.append("unknown")
            predictions.append(
                Prediction(
                    predicted=classes[number],
                    confidence=float(confidence[i]),
                    probabilities=tuple(map(float, found.frequency[i])),
                    balanced_probabilities=(
                        tuple(map(float, found.balanced[i])) if is_balanced else None
                    ),
                    prediction_set=tuple(sets[i]),
                    unknown_score=float(scores[i]),
                    referral_reasons=tuple(reasons),
                    missing_metadata=None if missing is None else missing[i],
                )
            )
        return predictions


def _missing_metadata(
    fusion: MetadataFusion | None, metadata: pd.DataFrame | None, n: int
) -> list[tuple[str, ...]] | None:
    """Return the columns without a usable value of each of n images."""
    if fusion is None:
        return None
    if metadata is None:
        return [fusion.encoder.names] * n
    columns = fusion.encoder.encode(metadata).columns
    return [
        tuple(name for name, c in columns.items() if not c.known[i] or c.unseen[i])
        for i in range(n)
    ]
