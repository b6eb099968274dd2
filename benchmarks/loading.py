"""Batches of images: the stored pixels against the notebook's loader, in one run, on files made here.

The notebook's loader is ImageFolder with Resize, ToTensor and Normalize, batches of 32, with 0 and with 2
workers: the better of the two counts. Ours are uint8 batches, as they go to the device, and finished
training batches on the CPU (float32, normalised) with the augmentation of the default recipe, and with
flips only. Then an epoch over many stored images, in which anonymous memory is watched. Making the files
and storing their pixels is not counted: ``ingest.py`` does that.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from images import make_photographs, stored_images
from record import ROOT, keep
from skin_lesions.config.train import Augmentation, TrainRecipe
from skin_lesions.data.loader import ImageDataset, shuffled_batches
from skin_lesions.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from skin_lesions.models.devices import configure_backend
from skin_lesions.training.augmentation import apply_augmentations, sample_augmentations

BATCH, SIZE, SEED = 32, 224, 1
CPU = torch.device("cpu")


def default_augmentation() -> Augmentation:
    values = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/base/parameters/train.yml"))
    return TrainRecipe.model_validate(values["train"]).augmentation


def flips_only() -> Augmentation:
    values = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/notebook/parameters.yml"))
    return Augmentation.model_validate(values["train"]["augmentation"] | {"flips": True})


def notebooks_batches(folder: Path, workers: int) -> Iterator[torch.Tensor]:
    steps = [
        transforms.Resize((SIZE, SIZE)),
        transforms.ToTensor(),
        transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ]
    images = ImageFolder(str(folder), transforms.Compose(steps))
    for batch, _ in DataLoader(images, batch_size=BATCH, shuffle=True, num_workers=workers):
        yield batch


def uint8_batches(images: ImageDataset) -> Iterator[torch.Tensor]:
    chosen = shuffled_batches(len(images), BATCH, SEED, epoch=1)
    for batch, _ in images.iter_batches(chosen, CPU):
        yield batch


def training_batches(images: ImageDataset, augmentation: Augmentation) -> Iterator[torch.Tensor]:
    drawn, place = sample_augmentations(len(images), SEED, 1, augmentation, images.preprocessing), 0
    for batch, labels in images.iter_batches(
        shuffled_batches(len(images), BATCH, SEED, epoch=1), CPU
    ):
        targets = one_hot(labels, images.classes).float()
        yield apply_augmentations(batch, targets, drawn[place : place + len(batch)])[0]
        place += len(batch)


def rate(batches: Callable[[], Iterator[torch.Tensor]]) -> float:
    """Go through an epoch; return images/s, the start of workers included."""
    start = time.perf_counter()
    images = sum(len(batch) for batch in batches())
    return images / (time.perf_counter() - start)


def anonymous_megabytes() -> float:
    """Return the memory of this process that is no file, as Linux counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def memory_over_an_epoch(folder: Path, n: int) -> dict[str, float]:
    """Read all images of a large store once; tell how far anonymous memory rose and what came."""
    images = stored_images(folder, n, SIZE)
    read, before = 0, anonymous_megabytes()
    highest = before
    start = time.perf_counter()
    for batch in uint8_batches(images):
        read += len(batch)
        highest = max(highest, anonymous_megabytes())
    return {
        "epoch_images": read,
        "epoch_images_per_second": read / (time.perf_counter() - start),
        "anonymous_memory_rise_mb": highest - before,
    }


def main(images: int, rounds: int, epoch_images: int) -> None:
    configure_backend(CPU)  # as a training begins
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photographs(folder / "source", images, 600, 450)
        ours = stored_images(folder / "pixels", images, SIZE)
        ways = {
            "notebook_0_workers": lambda: notebooks_batches(folder / "source", 0),
            "notebook_2_workers": lambda: notebooks_batches(folder / "source", 2),
            "uint8": lambda: uint8_batches(ours),
            "finished_default": lambda: training_batches(ours, default_augmentation()),
            "finished_flips_only": lambda: training_batches(ours, flips_only()),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for round_ in range(rounds + 1):
            for way, batches in ways.items():
                measured = rate(batches)
                if round_:  # the first is for warming up
                    rates[way].append(measured)
        middle = {way: statistics.median(values) for way, values in rates.items()}
        notebook = max(middle["notebook_0_workers"], middle["notebook_2_workers"])
        memory = memory_over_an_epoch(folder / "many", epoch_images)
    keep(
        "loading",
        {f"{way}_images_per_second": value for way, value in middle.items()}
        | {f"{way}_times_the_notebook": middle[way] / notebook for way in list(ways)[2:]}
        | memory
        | {"images": images, "image_size": SIZE, "rounds": rounds},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1920)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epoch-images", type=int, default=30_000)
    main(**vars(parser.parse_args()))
