"""Computation of what the metadata add to the image.

The probabilities of the image alone follow from the predictions: the evidence of the metadata is
subtracted from the logarithm of the probabilities. No network is needed.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from skin_lesions.config.evaluate import Evaluate
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.data.tables import PredictionTable, probability_column
from skin_lesions.data.tabular import EncodedMetadata, EncoderColumn
from skin_lesions.evaluation.comparison import MetricDifference, compare_predictions
from skin_lesions.evaluation.fusion.model import (
    ChangedColumn,
    FusionResults,
    InputDifferences,
    MissingLevel,
)
from skin_lesions.metrics.classification import Floats, Numbers
from skin_lesions.metrics.intervals import proportion, unavailable
from skin_lesions.models.postprocessing.metadata_fusion import MetadataFusion
from skin_lesions.models.postprocessing.probabilities import Probabilities, class_probabilities
from skin_lesions.models.trained_model import TrainedModel

REMOVED = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)  # fractions of the known values
DRAWS = 20
NO_METADATA = "the model uses no metadata"
_SMALLEST = float(np.finfo(np.float64).tiny)
_SAME = 1e-9  # largest difference of the numbers of equal values


def without_metadata(provenance: MetricsProvenance) -> FusionResults:
    """Return the result for a model that uses no metadata."""
    return FusionResults(provenance=provenance, measured=False, reason=NO_METADATA)


def compute_fusion_results(
    predictions: PredictionTable,
    images: pd.DataFrame,
    model: TrainedModel,
    fusion: MetadataFusion,
    evaluate: Evaluate,
    provenance: MetricsProvenance,
) -> FusionResults:
    """Compute what the metadata add to the image, on the test images.

    Args:
        predictions: Predictions of the test images from image and metadata.
        images: Row of the image table of each prediction, in the same order.
        model: The model.
        fusion: Its late fusion.
        evaluate: Parameters.
        provenance: Recorded in the result.
    """
    encoded = fusion.encoder.encode(images)
    test = _Test(predictions, encoded, image_scores(predictions.frame, model, fusion, encoded))
    source = images["source"].to_numpy()
    names, counts = np.unique(source.astype(str), return_counts=True)
    large = names[(counts >= evaluate.slices.min_images) & (names.size > 1)]
    return FusionResults(
        provenance=provenance,
        measured=True,
        method=fusion.method,
        weight=fusion.weight,
        predictive_missingness=fusion.predictive_missingness,
        equalized=fusion.equalized,
        overall=_differences(test, model, fusion),
        sources={
            str(name): _differences(test.subset(source.astype(str) == name), model, fusion)
            for name in large
        },
        missing=_missing_levels(test, model, fusion, evaluate.seed),
        columns=tuple(
            _changed_column(column, test, model, fusion, evaluate.seed)
            for column in fusion.encoder.columns
        ),
        draws=DRAWS,
    )


@dataclass(frozen=True)
class _Test:
    """n test images.

    Attributes:
        predictions: Their predictions.
        encoded: Their metadata.
        scores: (n, k), result of ``image_scores``.
    """

    predictions: PredictionTable
    encoded: EncodedMetadata
    scores: Floats

    @property
    def frame(self) -> pd.DataFrame:
        return self.predictions.frame

    def subset(self, selected: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> "_Test":
        columns = {
            name: type(column)(
                column.values[selected], column.known[selected], column.unseen[selected]
            )
            for name, column in self.encoded.columns.items()
        }
        return _Test(
            replace(self.predictions, frame=self.frame[selected]),
            EncodedMetadata(self.encoded.values[selected], columns),
            self.scores[selected],
        )


def image_scores(
    predictions: pd.DataFrame,
    model: TrainedModel,
    fusion: MetadataFusion,
    encoded: EncodedMetadata,
) -> Floats:
    """Return the scores of the image alone from predictions with metadata.

    Args:
        predictions: Predictions of n images from image and metadata.
        model: The model.
        fusion: Its late fusion.
        encoded: Metadata of the images.

    Returns:
        (n, k), logarithm of the probabilities for the class frequencies of the training images, up
        to a constant of each row.
    """
    columns = [probability_column(name) for name in model.classes]
    probabilities = predictions[columns].to_numpy(np.float64)
    return np.log(np.maximum(probabilities, _SMALLEST)) - fusion.evidence(encoded)


def _probabilities(scores: Floats, model: TrainedModel) -> Probabilities:
    """Return the probabilities and predicted classes of scores as ``_Test.scores``, (n, k)."""
    frequencies = model.postprocessing.frequencies
    return class_probabilities(scores - frequencies.log_ratio_to_training, 1.0, frequencies)


def _differences(test: _Test, model: TrainedModel, fusion: MetadataFusion) -> InputDifferences:
    frequencies = model.postprocessing.frequencies.of_training_images
    image = _table(test, _probabilities(test.scores, model), model)
    both = _table(test, _probabilities(test.scores + fusion.evidence(test.encoded), model), model)
    metadata_scores = fusion.scores(test.encoded) + np.log(frequencies)
    metadata = _table(test, _probabilities(metadata_scores, model), model)
    usable = [column.known & ~column.unseen for column in test.encoded.columns.values()]
    return InputDifferences(
        n=len(test.frame),
        known=int(np.any(usable, axis=0).sum()),
        by_metadata=_compare(image, both, ("image", "image and metadata")),
        by_image=_compare(metadata, both, ("metadata", "image and metadata")),
    )


def _table(test: _Test, found: Probabilities, model: TrainedModel) -> PredictionTable:
    """Return the predictions with other probabilities and predicted classes."""
    columns = {
        probability_column(name): found.frequency[:, c] for c, name in enumerate(model.classes)
    }
    predicted = [model.classes[c] for c in found.predicted]
    return replace(test.predictions, frame=test.frame.assign(predicted=predicted, **columns))


def _compare(
    baseline: PredictionTable, candidate: PredictionTable, names: tuple[str, str]
) -> dict[str, MetricDifference]:
    comparison = compare_predictions(
        baseline, candidate, sources=names, is_paired=True, max_examples=0
    )
    return comparison.metrics


def _missing_levels(
    test: _Test, model: TrainedModel, fusion: MetadataFusion, seed: int
) -> tuple[MissingLevel, ...]:
    """Remove known values in a random order, several times."""
    labels = pd.Index(model.classes).get_indexer(pd.Index(test.frame["label"]))
    contributions = _contributions(fusion, test.encoded)
    accuracies = np.zeros((DRAWS, len(REMOVED)))
    for draw in range(DRAWS):
        # order: (n, columns). The values with the lowest ones are removed first.
        order = np.random.default_rng([seed, draw]).random((len(labels), len(contributions)))
        for level, removed in enumerate(REMOVED):
            kept = order >= removed
            evidence = np.einsum("nc,cnk->nk", kept, contributions)
            found = _probabilities(test.scores + evidence, model)
            accuracies[draw, level] = _balanced_accuracy(labels, found.predicted)
    return tuple(
        MissingLevel(
            removed=removed,
            balanced_accuracy=float(accuracies[:, level].mean()),
            lowest=float(accuracies[:, level].min()),
            highest=float(accuracies[:, level].max()),
        )
        for level, removed in enumerate(REMOVED)
    )


def _contributions(fusion: MetadataFusion, encoded: EncodedMetadata) -> Floats:
    """Return the evidence of each column, (columns, n, k); their sum is the evidence."""
    parts = zip(encoded.columns.values(), _coefficients(fusion, encoded), strict=True)
    return fusion.weight * np.stack([column.values @ part.T for column, part in parts])


def _coefficients(fusion: MetadataFusion, encoded: EncodedMetadata) -> list[Floats]:
    """Return the coefficients of each column, (k, width of the column)."""
    widths = [column.values.shape[1] for column in encoded.columns.values()]
    return np.split(np.asarray(fusion.coefficients), np.cumsum(widths)[:-1], axis=1)


def _balanced_accuracy(labels: Numbers, predicted: Numbers) -> float:
    correct = labels == predicted
    return float(np.mean([correct[labels == c].mean() for c in np.unique(labels)]))


def _changed_column(
    column: EncoderColumn, test: _Test, model: TrainedModel, fusion: MetadataFusion, seed: int
) -> ChangedColumn:
    """Replace and remove the usable values of a column, and count the changed predictions."""
    encoded = test.encoded.columns[column.name]
    usable = encoded.known & ~encoded.unseen
    contributions = _contributions(fusion, test.encoded)
    number = list(test.encoded.columns).index(column.name)
    own = contributions[number][usable]  # (m, k), m images with a usable value
    others = (test.scores + contributions.sum(axis=0))[usable] - own
    group = pd.factorize(test.frame["group_id"])[0][usable]
    before = _probabilities(others + own, model).predicted
    removed = _probabilities(others, model).predicted
    changed = unavailable("a text is not replaced by another one", int(usable.sum()))
    if column.kind != "text":
        replaced = _other_values(column, encoded.values[usable], seed)  # (m, width)
        part = _coefficients(fusion, test.encoded)[number]
        after = _probabilities(others + fusion.weight * replaced @ part.T, model).predicted
        changed = proportion(after != before, group)
    return ChangedColumn(
        name=column.name,
        kind=column.kind,
        known=int(encoded.known.sum()),
        unseen=int(encoded.unseen.sum()),
        changed=changed,
        removed=proportion(removed != before, group),
    )


def _other_values(column: EncoderColumn, own: Floats, seed: int) -> Floats:
    """Draw another value for each image, by frequency, and return its numbers, (m, width)."""
    values, frequencies = column.examples()
    numbers = column.encode(pd.Series(values, dtype=object, name=column.name)).values  # (v, width)
    differs = (abs(numbers[None] - own[:, None]) > _SAME).any(axis=2)  # (m, v)
    weights = np.where(differs, frequencies, 0.0).cumsum(axis=1)
    drawn = np.random.default_rng(seed).random((len(own), 1)) * weights[:, -1:]
    return np.asarray(numbers[(weights <= drawn).sum(axis=1)], np.float64)
