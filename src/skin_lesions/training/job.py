"""A training job, which is sent to the processes that train, and its result."""

from dataclasses import dataclass

import pandas as pd
from torch import nn

from skin_lesions.config.train import TrainRecipe
from skin_lesions.data.loader import ImageDataset
from skin_lesions.training.checkpoints import Checkpoint, Environment


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Everything that a training needs.

    Attributes:
        recipe: All settings. Equal recipes, images, initial networks and machines give equal
            weights on the CPU, however often the training was interrupted.
        train_images: Images to train on.
        val_images: Images to select the epoch on, by ``recipe.selection_metric``, at
            ``recipe.eval_image_size``.
        network: Initial network; changed in place.
        checkpoint: Checkpoint to resume from. It is written after every epoch and every
            ``recipe.checkpoint_interval_minutes``.
    """

    recipe: TrainRecipe
    train_images: ImageDataset
    val_images: ImageDataset
    network: nn.Module
    checkpoint: Checkpoint


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """Result of a training.

    Attributes:
        network: Network with the weights of the selected epoch, on the CPU.
        history: One row per epoch.
        environment: Device, precision and number of processes of the training.
    """

    network: nn.Module
    history: pd.DataFrame
    environment: Environment
