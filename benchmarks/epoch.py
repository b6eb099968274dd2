"""Epochs as they are trained, against their bare steps: what loading, augmenting, logging and keeping add.

Bare: forward, backward, clipping, optimiser and averaging of weights on one batch that lies ready, as often
as the epochs have steps.
Trained: the training loop with the default recipe, from stored pixels, with a checkpoint after each epoch, written
beside the next one as ``train`` does, the last one waited for; without validation. Both in turn, so that a machine
that slows down slows both. The pixels are random unless a folder is given: what they show does not change the time.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch.nn.functional import one_hot

from images import CLASSES, stored_images
from record import ROOT, keep
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.progress import TrainingProgressBar
from skin_lesions.models.networks import create_network
from skin_lesions.training import step as steps
from skin_lesions.training.checkpoints import Checkpoints
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.loop import train_epoch
from skin_lesions.training.monitor import TrainingMonitor
from skin_lesions.training.state import TrainingRun, create_state


def bare_epochs(run: TrainingRun, epochs: int, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    """Take the steps of so many epochs on one batch; return seconds."""
    targets = one_hot(labels, CLASSES).float()
    batch = steps.Batch(inputs, targets, labels, len(inputs))
    steps.set_trainable_layers(run)
    start = time.perf_counter()
    for _ in range(epochs * run.steps):
        steps.optimizer_step(run, batch)
    run.epoch_totals.tolist()  # waits for a GPU
    return time.perf_counter() - start


def trained_epochs(run: TrainingRun, epochs: int, folder: Path) -> float:
    """Learn so many epochs as ``train`` does; return seconds."""
    start = time.perf_counter()
    checkpoint = Checkpoints(folder).for_training({})
    steps_of_all = epochs * run.steps
    with (
        checkpoint.async_writer() as saver,
        TrainingProgressBar("training", steps_of_all) as progress,
    ):
        watch = TrainingMonitor(run, saver, lambda: False, progress)
        for _ in range(epochs):
            train_epoch(run, watch)
            run.epoch, run.step = run.epoch + 1, 0
            watch.after_epoch()
    return time.perf_counter() - start


def main(given: argparse.Namespace) -> None:
    architecture, weights, image_size = given.architecture, given.weights, given.image_size
    images, epochs, rounds = given.images, given.epochs, given.rounds
    values = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/base/parameters/train.yml"))
    changes = {"architecture": architecture, "weights": weights, "image_size": image_size}
    scales = {"progressive_resizing_start": 1.0, "eval_size_ratio": 1.0}
    recipe = TrainRecipe.model_validate(
        values["train"] | changes | scales | {"epochs": epochs * (rounds + 1)}
    )
    classes = [str(number) for number in range(CLASSES)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = stored_images(folder / "pixels", images, image_size, given.folder)
        start = create_network(architecture, weights, None, classes, image_size, recipe.seed)
        run = create_state(data, data, start.network, recipe, ProcessGroup())
        inputs = torch.randn(recipe.batch_size, 3, image_size, image_size, device=run.device)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        labels = torch.randint(CLASSES, (recipe.batch_size,), device=run.device)
        bare, trained = [], []
        for _ in range(rounds + 1):
            bare.append(bare_epochs(run, epochs, inputs, labels))
            trained.append(trained_epochs(run, epochs, folder / "checkpoints"))
    pairs = list(zip(bare, trained, strict=True))[1:]  # the first is for warming up
    keep(
        "epoch",
        {
            "architecture": architecture,
            "weights": weights,
            "image_size": image_size,
            "images": images,
            "epochs": epochs,
            "device": str(run.device),
            "bare_images_per_second": epochs * images / statistics.median(one for one, _ in pairs),
            "trained_images_per_second": epochs
            * images
            / statistics.median(two for _, two in pairs),
            "added_share": statistics.median(two / one for one, two in pairs) - 1,
            "rounds": rounds,
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="take the images of a folder")
    parser.add_argument("--architecture", default="resnet18", help="as train.architecture")
    parser.add_argument("--weights", default="none", help="as train.weights")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--images", type=int, default=1536, help="a multiple of the batch size, 32")
    parser.add_argument("--epochs", type=int, default=2, help="of a training")
    parser.add_argument("--rounds", type=int, default=2)
    main(parser.parse_args())
