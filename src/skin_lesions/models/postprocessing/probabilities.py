"""Probabilities of a network: for the class frequencies of the training images, and for equal ones.

The prediction follows one of both. Every part that predicts uses this module, so that all follow
the decision that is saved in the model file.

Bayes' theorem for other class frequencies: p'(class | image) is proportional to
p(class | image) · (new frequency of the class) / (old frequency of the class), where the images of
a class are the same. With a softmax, the logarithm of this ratio is added to the logits.

Source:
    Saerens, Latinne and Decaestecker (2002), doi:10.1162/089976602753284446, equation 2.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from skin_lesions.config.train import ClassBalance, DecisionParameter
from skin_lesions.metrics.classification import Floats, Numbers
from skin_lesions.models.postprocessing.temperature import softmax_with_temperature

Decision = Literal["balanced", "frequency"]

# The softmax of a trained network is for class frequencies in proportion to (training images of
# the class) ** exponent.
# - none: the network learns the frequencies of the training images.
# - weights: each class has the same total weight in the loss.
# - square_root_sampler: a class is drawn in proportion to the square root of its images.
# - logit_adjustment: the log prior is added to the logits in the loss only. The logits themselves
#   are those of equally common classes.
IMPLIED_EXPONENTS: dict[ClassBalance, float] = {
    "none": 1.0,
    "weights": 0.0,
    "square_root_sampler": 0.5,
    "logit_adjustment": 0.0,
}


@dataclass(frozen=True, kw_only=True)
class ClassFrequencies:
    """Class frequencies of the training images and of the network, and the resulting decision.

    Attributes:
        train_counts: Number of training images of each class, in the order of the model.
        implied_exponent: The softmax of the network is for class frequencies in proportion to
            ``train_counts ** implied_exponent``.
        decision: Whether the predicted class is the most probable one for equal class frequencies
            (``balanced``) or for those of the training images (``frequency``).
    """

    train_counts: tuple[int, ...]
    implied_exponent: float
    decision: Decision

    @property
    def of_training_images(self) -> Floats:
        """Class frequencies of the training images, (classes,), sum 1.

        A class without training images counts as one image, as in the loss.
        """
        return np.asarray(self._counts / self._counts.sum(), np.float64)

    @property
    def log_ratio_to_training(self) -> Floats:
        """Logarithm of (frequency in the training images) / (frequency of the softmax), (classes,).

        With training images n and exponent a: log n - a · log n, up to a constant.
        """
        return np.asarray((1 - self.implied_exponent) * np.log(self._counts), np.float64)

    @property
    def log_ratio_to_balanced(self) -> Floats:
        """Logarithm of (equal frequency) / (frequency of the softmax), (classes,), plus a constant.

        With training images n and exponent a: -a · log n.
        """
        return np.asarray(-self.implied_exponent * np.log(self._counts), np.float64)

    @property
    def _counts(self) -> Floats:
        return np.maximum(np.asarray(self.train_counts, np.float64), 1.0)


@dataclass(frozen=True, kw_only=True)
class Probabilities:
    """Calibrated probabilities of n images and k classes; each row sums to 1.

    Attributes:
        frequency: (n, k), for the class frequencies of the training images.
        balanced: (n, k), for equal class frequencies.
        predicted: (n,), number of the predicted class.
    """

    frequency: Floats
    balanced: Floats
    predicted: Numbers

    @property
    def confidence(self) -> Floats:
        """Probability of the predicted class for the frequencies of the training images, (n,)."""
        return np.take_along_axis(self.frequency, self.predicted[:, None], axis=1)[:, 0]


def class_frequencies(
    train_counts: Sequence[int], class_balance: ClassBalance, decision: DecisionParameter
) -> ClassFrequencies:
    """Return the class frequencies of a training, and resolve ``train.decision``.

    Args:
        train_counts: Number of training images of each class, in the order of the model.
        class_balance: Parameter ``train.class_balance``.
        decision: Parameter ``train.decision``. ``auto`` is ``balanced`` for a network that was
            trained with class balancing, otherwise ``frequency``.
    """
    if decision != "auto":
        resolved: Decision = decision
    elif class_balance == "none":
        resolved = "frequency"
    else:
        resolved = "balanced"
    return ClassFrequencies(
        train_counts=tuple(train_counts),
        implied_exponent=IMPLIED_EXPONENTS[class_balance],
        decision=resolved,
    )


def class_probabilities(
    logits: ArrayLike, temperature: float, frequencies: ClassFrequencies
) -> Probabilities:
    """Return the calibrated probabilities and the predicted classes.

    Args:
        logits: Outputs of the network, shape (n, k).
        temperature: The fitted temperature.
        frequencies: Class frequencies of the training, and the decision.

    Raises:
        ValueError: The logits are not a finite (n, k) array, their number of classes differs from
            that of ``frequencies``, or the temperature is not above 0.
    """
    k = len(frequencies.train_counts)
    if np.shape(logits)[1:] != (k,):
        raise ValueError(f"Logits must be (images, {k} classes), got {np.shape(logits)}")
    frequency = softmax_with_temperature(logits, temperature, frequencies.log_ratio_to_training)
    balanced = softmax_with_temperature(logits, temperature, frequencies.log_ratio_to_balanced)
    decisive = balanced if frequencies.decision == "balanced" else frequency
    return Probabilities(
        frequency=frequency, balanced=balanced, predicted=decisive.argmax(axis=1).astype(np.intp)
    )
