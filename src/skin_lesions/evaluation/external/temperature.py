"""The best temperature for external images, with its interval, beside that of the model."""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from skin_lesions.evaluation.external.model import TemperatureCheck
from skin_lesions.evaluation.scorecard.arrays import PredictionArrays
from skin_lesions.metrics.classification import Floats
from skin_lesions.metrics.intervals import unavailable, unite
from skin_lesions.metrics.linearization import linearized_error, mean_influence
from skin_lesions.models.postprocessing.temperature import TEMPERATURE_BOUNDS

_STEP = 1e-3  # of the logarithm of the temperature, for numerical derivatives


def check_temperature(
    rows: PredictionArrays, temperature: float, log_prior: Floats
) -> TemperatureCheck:
    """Compare the temperature of a model with the best one for some images.

    Probabilities p = softmax(z / T + log prior) determine the logits z, see
    ``undo_temperature``. The best temperature minimizes the mean log loss of these images. It is an
    M-estimator: the influence of an image on its logarithm is -ψ / (n · mean of ψ'), where ψ and ψ'
    are the first and second derivative of the log loss of the image.

    Args:
        rows: The predictions.
        temperature: The temperature T of the model.
        log_prior: Logarithm of the class frequencies that was added after the temperature, (k,).
    """
    smallest = float(np.finfo(np.float64).tiny)
    logits = temperature * (np.log(np.maximum(rows.probability, smallest)) - log_prior)  # (n, k)

    def losses(log_temperature: float) -> Floats:
        """Return the log loss of each image, nats, (n,)."""
        scores = log_softmax(logits / math.exp(log_temperature) + log_prior, axis=1)
        return np.asarray(-scores[np.arange(rows.n), rows.label], np.float64)

    of_model = float(losses(math.log(temperature)).mean())
    if rows.correct.all():
        # Sharper is always better, which is no information about other images.
        best = unavailable("all images are classified correctly", rows.n)
        return TemperatureCheck(
            of_model=temperature, best=best, log_loss_of_model=of_model, log_loss_of_best=None
        )
    low, high = map(math.log, TEMPERATURE_BOUNDS)
    found = minimize_scalar(
        lambda t: float(losses(t).mean()),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-8},
    )
    log_best = float(found.x)
    before, at, after = (losses(log_best + step) for step in (-_STEP, 0.0, _STEP))
    slopes = (after - before) / (2 * _STEP)  # (n,)
    curvature = float(((after - 2 * at + before) / _STEP**2).mean())
    interval = None
    if curvature > 0:
        error = linearized_error(mean_influence(-slopes / curvature), rows.group)
        interval = error.interval(log_best)
    value = math.exp(log_best)
    bounds = None if interval is None else (math.exp(interval[0]), math.exp(interval[1]))
    return TemperatureCheck(
        of_model=temperature,
        best=unite(value, rows.n, [bounds], highest=TEMPERATURE_BOUNDS[1]),
        log_loss_of_model=of_model,
        log_loss_of_best=float(at.mean()),
    )
