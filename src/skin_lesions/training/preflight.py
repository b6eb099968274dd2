"""Checks that can fail before images are read, which may take hours."""

from skin_lesions.config.train import TrainRecipe
from skin_lesions.models.devices import choose_device
from skin_lesions.models.networks import (
    create_network,
    resolve_initial_weights,
)
from skin_lesions.models.precision import warn_if_slow
from skin_lesions.models.weights import WeightsFile
from skin_lesions.training.launchers import check_launcher
from skin_lesions.training.schedules import image_sizes

_PLACEHOLDER_CLASSES = ["one", "another"]  # the classes are not known yet; any head will do


def check_training_setup(recipe: TrainRecipe) -> WeightsFile | None:
    """Check the device, the launcher, the network and its weights; download weights if needed.

    Returns:
        The weights file; None for random weights.

    Raises:
        InputError: Training would fail later with the same error, for example because the weights
            or an image size do not fit the network, or the requested GPU is not available.
    """
    if recipe.launcher != "ray":  # Ray workers may have devices that this machine does not have
        warn_if_slow(choose_device(recipe.device), recipe.precision)
    check_launcher(recipe)
    create_network(
        architecture=recipe.architecture,
        weights=recipe.weights,
        weights_sha256=recipe.weights_sha256,
        classes=_PLACEHOLDER_CLASSES,
        image_sizes=image_sizes(recipe),
        seed=recipe.seed,
    )
    if recipe.weights == "none":
        return None
    return resolve_initial_weights(
        architecture=recipe.architecture,
        weights=recipe.weights,
        weights_sha256=recipe.weights_sha256,
    )
