"""What can be known to fail before the images are read, which may take hours."""

from skin_lesions.config.train import TrainRecipe
from skin_lesions.models.devices import choose_device
from skin_lesions.models.networks import check_architecture, create_network
from skin_lesions.models.precision import choose_precision
from skin_lesions.training.launchers import check_launcher


def check_training_setup(recipe: TrainRecipe) -> None:
    """Look for the device, the network and its weights, which are downloaded if need be.

    Raises:
        InputError: As training would, later: the weights are not those of the network, a GPU is asked
            for that is not there, ...
    """
    if recipe.launcher != "ray":  # whose workers may have what this machine has not
        choose_precision(choose_device(recipe.device), recipe.precision)
    check_launcher(recipe)
    if recipe.weights == "none":
        check_architecture(recipe.architecture)
        return
    some = ["one", "another"]  # the classes are not known yet; any head will do
    create_network(
        *(recipe.architecture, recipe.weights, recipe.weights_sha256),
        *(some, recipe.image_size, recipe.seed),
    )
