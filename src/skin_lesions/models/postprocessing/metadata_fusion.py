"""Late fusion: the evidence of clinical metadata, added to the scores of the image.

With image x and metadata z that are independent given the class c,

    p(c | x, z) ∝ p(c | x) · p(z | c).

A logistic regression with equally weighted classes is fitted on the training images. Its scores
without the intercept estimate log p(z | c), up to a constant: the evidence e. With the temperature
T of the image alone, the calibrated probabilities are softmax(logits / T + w · e + log ratio). The
weight w is fitted on the validation images. It is 1 if image and metadata are independent given
the class, and smaller if both say the same.

The coefficients W of the evidence can also be trained together with the network (``method``
``concat``), as those of a linear head that gets features and metadata: logits + W z. The evidence
is then W z / T, so a weight of 1 is that of the training.

Missing values are encoded as zeros, so an image without metadata has the result of the image alone.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from skin_lesions.core.text import printable
from skin_lesions.data.tabular import EncodedMetadata, MetadataEncoder
from skin_lesions.metrics.classification import Floats, Numbers
from skin_lesions.models.postprocessing.probabilities import ClassFrequencies

log = logging.getLogger(__name__)

MAX_WEIGHT = 3.0
_REGULARIZATION = 1.0  # C of scikit-learn
_MAX_ITERATIONS = 2000


@dataclass(frozen=True, kw_only=True)
class MetadataFusion:
    """A fitted fusion of metadata with an image model of k classes.

    Attributes:
        encoder: Encoder of the columns.
        coefficients: Coefficients of the encoded columns, (k, width of the encoder).
        method: ``late`` for those of a logistic regression of the metadata alone, ``concat`` for
            those that were trained together with the network, divided by the temperature.
        weight: Weight w of the evidence.
        predictive_missingness: Columns whose missing values predict the class of training images.
        equalized: Whether the missing rates of these columns were made equal over the classes.
        nll_image: Weighted mean of the negative log-likelihood of the validation images from the
            image alone, nats per image; the weights are those of the temperature.
        nll_both: The same with the evidence.
        n: Number of validation images with a known value.
    """

    encoder: MetadataEncoder
    coefficients: tuple[tuple[float, ...], ...]
    method: Literal["late", "concat"] = "late"
    weight: float = 0.0
    predictive_missingness: tuple[str, ...] = ()
    equalized: bool = True
    nll_image: float | None = None
    nll_both: float | None = None
    n: int = 0

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.coefficients}
        if widths != {self.encoder.width} or not np.isfinite(self.coefficients).all():
            raise ValueError(
                f"expected {self.encoder.width} finite coefficients for each class, got {widths}"
            )
        if not 0 <= self.weight <= MAX_WEIGHT:
            raise ValueError(f"the weight must be between 0 and {MAX_WEIGHT}, got {self.weight}")

    def evidence(self, encoded: EncodedMetadata) -> Floats:
        """Return the weighted evidence of n images, (n, k); zeros without known values."""
        return self.weight * self.scores(encoded)

    def scores(self, encoded: EncodedMetadata) -> Floats:
        """Return the scores of the metadata alone, without intercept, (n, k)."""
        return np.asarray(encoded.values @ np.asarray(self.coefficients).T, np.float64)


def fit_metadata_model(
    encoder: MetadataEncoder, train: pd.DataFrame, classes: Sequence[str]
) -> MetadataFusion:
    """Fit the logistic regression on training images; the weight is still 0.

    Args:
        encoder: Encoder of the columns.
        train: One row per training image: label and the columns.
        classes: Classes of the model, in order. One without training images gets no evidence.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (takes a second)

    regression = LogisticRegression(
        C=_REGULARIZATION, class_weight="balanced", max_iter=_MAX_ITERATIONS, tol=1e-6
    )
    numbers = pd.Index(classes).get_indexer(pd.Index(train["label"]))  # (n,)
    regression.fit(encoder.encode(train).values, numbers)
    fitted = regression.coef_
    if len(regression.classes_) == 2:  # scikit-learn has one row of coefficients for two classes
        fitted = np.concatenate([-fitted / 2, fitted / 2])
    coefficients = np.zeros((len(classes), encoder.width))
    coefficients[regression.classes_] = fitted
    return MetadataFusion(encoder=encoder, coefficients=tuple(map(tuple, coefficients.tolist())))


@dataclass(frozen=True, kw_only=True)
class WeightFit:
    """A fitted weight, and the log-likelihood without and with the evidence.

    Attributes:
        weight: The weight, from 0 to ``MAX_WEIGHT``.
        nll_image: Weighted mean of the negative log-likelihood with weight 0, nats per image.
        nll_both: The same with the weight.
    """

    weight: float
    nll_image: float
    nll_both: float


def best_weight(
    evidence: Floats, image_scores: Floats, labels: Numbers, frequencies: ClassFrequencies
) -> WeightFit:
    """Return the weight of the evidence that minimizes the negative log-likelihood of n images.

    The images are weighted, and classes without images are left out, as for the temperature.

    Args:
        evidence: Scores of the metadata, (n, k).
        image_scores: Logarithm of the calibrated probabilities of the image for the class
            frequencies of the training images, up to a constant of each row, (n, k).
        labels: Class numbers, (n,).
        frequencies: Class frequencies of the training.
    """
    counts = np.bincount(labels, minlength=evidence.shape[1])  # (k,)
    present = np.flatnonzero(counts)
    weights = (frequencies.of_training_images / np.maximum(counts, 1))[labels]  # (n,)
    label = np.searchsorted(present, labels)

    def nll(weight: float) -> float:
        log_probability = log_softmax((image_scores + weight * evidence)[:, present], axis=1)
        of_label = log_probability[np.arange(label.size), label]
        return -float(np.average(of_label, weights=weights))

    found = minimize_scalar(nll, bounds=(0.0, MAX_WEIGHT), method="bounded")
    before, after = nll(0.0), float(found.fun)
    if after >= before:
        return WeightFit(weight=0.0, nll_image=before, nll_both=before)
    return WeightFit(weight=float(found.x), nll_image=before, nll_both=after)


def fit_weight(
    model: MetadataFusion,
    encoded: EncodedMetadata,
    logits: Floats,
    labels: Numbers,
    temperature: float,
    frequencies: ClassFrequencies,
) -> MetadataFusion:
    """Fit the weight of the evidence on the n validation images.

    Args:
        model: Result of ``fit_metadata_model``, or coefficients of a network.
        encoded: Metadata of the images.
        logits: Outputs of the network, (n, k).
        labels: Class numbers, (n,).
        temperature: The fitted temperature.
        frequencies: Class frequencies of the training.
    """
    if model.method == "concat":
        scaled = np.asarray(model.coefficients) / temperature
        model = replace(model, coefficients=tuple(map(tuple, scaled.tolist())))
    image_scores = logits / temperature + frequencies.log_ratio_to_training
    fit = best_weight(model.scores(encoded), image_scores, labels, frequencies)
    known = np.any([column.known & ~column.unseen for column in encoded.columns.values()], axis=0)
    log.info(
        "Metadata columns %s: weight %.2f, validation log loss %.3f with the image alone and "
        "%.3f with both",
        ", ".join(f"{printable(column.name)} ({column.kind})" for column in model.encoder.columns),
        fit.weight,
        fit.nll_image,
        fit.nll_both,
    )
    return replace(
        model,
        weight=fit.weight,
        nll_image=fit.nll_image,
        nll_both=fit.nll_both,
        n=int(known.sum()),
    )


def fused_logits(
    logits: Floats,
    fusion: MetadataFusion | None,
    temperature: float,
    metadata: pd.DataFrame | None,
) -> Floats:
    """Return logits whose softmax at this temperature has the evidence of the metadata.

    Args:
        logits: Outputs of the network, (n, k).
        fusion: The late fusion of the model, or None.
        temperature: The fitted temperature.
        metadata: Metadata of the n images, or None.

    Returns:
        (n, k); ``logits`` without fusion or metadata.
    """
    if fusion is None or metadata is None:
        return logits
    return logits + temperature * fusion.evidence(fusion.encoder.encode(metadata))


def log_unusable_values(fusion: MetadataFusion | None, metadata: pd.DataFrame) -> None:
    """Warn about columns that are absent, and about values that are unknown to the model."""
    if fusion is None:
        return
    for name, column in fusion.encoder.encode(metadata).columns.items():
        if name not in metadata:
            log.warning(
                "The model uses the metadata column %s, but there is no such column. It counts as "
                "missing",
                printable(name),
            )
        elif column.unseen.any():
            log.warning(
                "Metadata column %s: %d of %d values are unknown to the model, e.g. %s. They count "
                "as missing",
                printable(name),
                column.unseen.sum(),
                column.known.sum(),
                printable(metadata[name][column.unseen].iloc[0]),
            )
