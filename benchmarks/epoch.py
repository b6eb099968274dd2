"""Benchmark of complete training epochs compared with their bare steps.

The difference is the time of loading, augmentation, logging and checkpoints.

- Bare steps: forward, backward, gradient clipping, optimizer and EMA, on one batch that is already
  on the device. The number of steps is the same as in the epochs.
- Training: the training loop with the default recipe, from stored pixels, without validation. Each
  epoch ends with a checkpoint, which is written during the next epoch as in ``train``. The time
  includes writing the last checkpoint.

Both run alternately, so that changes in the speed of the machine affect both. The pixels are random
unless a folder is given. The content of the images does not change the time.
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
from options import add_weights_option, reported_weights
from record import ROOT, save_results
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.progress import TrainingProgressBar
from skin_lesions.models.devices import choose_device, training_backend
from skin_lesions.models.networks import create_network
from skin_lesions.training.batches import Batch
from skin_lesions.training.callbacks import TrainingCallbacks
from skin_lesions.training.checkpoints import Checkpoint, Checkpoints
from skin_lesions.training.context import (
    TrainingContext,
    create_context,
    set_trainable_layers,
    wrap_network,
)
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.job import TrainingJob
from skin_lesions.training.loop import train_epoch
from skin_lesions.training.state import TrainingProgress
from skin_lesions.training.step import training_step


def bare_epochs(
    context: TrainingContext,
    progress: TrainingProgress,
    epochs: int,
    inputs: torch.Tensor,
    labels: torch.Tensor,
) -> float:
    """Run the steps of ``epochs`` epochs on one batch. Return the seconds."""
    batch = Batch(
        inputs=inputs,
        targets=one_hot(labels, CLASSES).float(),
        labels=labels,
        global_batch_size=len(inputs),
    )
    set_trainable_layers(context, progress.epoch)
    forward = wrap_network(context)
    start = time.perf_counter()
    for _ in range(epochs * context.steps_per_epoch):
        training_step(context, progress, forward, batch)
    progress.epoch_totals.tolist()  # waits for the GPU
    return time.perf_counter() - start


def trained_epochs(
    context: TrainingContext, progress: TrainingProgress, epochs: int, checkpoint: Checkpoint
) -> float:
    """Train for ``epochs`` epochs in the same way as ``train``. Return the seconds."""
    start = time.perf_counter()
    total_steps = epochs * context.steps_per_epoch
    with (
        checkpoint.async_writer() as writer,
        TrainingProgressBar("training", total_steps) as bar,
    ):
        callbacks = TrainingCallbacks(context, progress, writer, lambda: False, bar)
        forward = wrap_network(context)
        for _ in range(epochs):
            set_trainable_layers(context, progress.epoch)
            train_epoch(context, progress, forward, callbacks)
            progress.start_next_epoch()
            callbacks.after_epoch()
    return time.perf_counter() - start


def main(args: argparse.Namespace) -> None:
    architecture, weights, image_size = args.architecture, args.weights, args.image_size
    images, epochs, rounds = args.images, args.epochs, args.rounds
    values = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/base/parameters/train.yml"))
    changes = {"architecture": architecture, "weights": weights, "image_size": image_size}
    scales = {"progressive_resizing_start": 1.0, "eval_size_ratio": 1.0}
    recipe = TrainRecipe.model_validate(
        values["train"] | changes | scales | {"epochs": epochs * (rounds + 1)}
    )
    classes = [str(number) for number in range(CLASSES)]
    device = choose_device(recipe.device)
    backend = training_backend(device, keep_memory=recipe.keep_freed_memory)
    with tempfile.TemporaryDirectory() as name, backend:
        folder = Path(name)
        data = stored_images(folder / "pixels", images, image_size, args.folder)
        initial = create_network(
            architecture=architecture,
            weights=weights,
            weights_sha256=None,
            classes=classes,
            image_sizes=[image_size],
            seed=recipe.seed,
        )
        job = TrainingJob(
            recipe=recipe,
            train_images=data,
            val_images=data,
            network=initial.network,
            checkpoint=Checkpoints(folder / "checkpoints").for_training({}),
        )
        context = create_context(job, ProcessGroup(), device)
        progress = TrainingProgress(epoch_totals=torch.zeros(2, device=device))
        inputs = torch.randn(recipe.batch_size, 3, image_size, image_size, device=device)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        labels = torch.randint(CLASSES, (recipe.batch_size,), device=device)
        bare, trained = [], []
        for _ in range(rounds + 1):
            bare.append(bare_epochs(context, progress, epochs, inputs, labels))
            trained.append(trained_epochs(context, progress, epochs, job.checkpoint))
    pairs = list(zip(bare, trained, strict=True))[1:]  # the first round is a warm-up
    save_results(
        args.name,
        {
            "architecture": architecture,
            "weights": reported_weights(weights),
            "image_size": image_size,
            "images": images,
            "epochs": epochs,
            "device": str(device),
            "bare_images_per_second": epochs
            * images
            / statistics.median(bare_time for bare_time, _ in pairs),
            "trained_images_per_second": epochs
            * images
            / statistics.median(training_time for _, training_time in pairs),
            "added_share": statistics.median(
                training_time / bare_time for bare_time, training_time in pairs
            )
            - 1,
            "rounds": rounds,
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="folder of images; default: random pixels")
    parser.add_argument("--architecture", default="resnet18", help="network (train.architecture)")
    add_weights_option(parser, default="none")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument(
        "--images", type=int, default=1536, help="a multiple of the batch size (32)"
    )
    parser.add_argument("--epochs", type=int, default=2, help="epochs per measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--name", default="epoch")
    main(parser.parse_args())
