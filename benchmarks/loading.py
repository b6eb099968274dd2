"""Benchmark of image loading: the pixel store compared with the loader of the notebook.

The loader of the notebook is ImageFolder with Resize, ToTensor and Normalize, batches of 32, with 0
and with 2 workers. The faster of the two counts. Two kinds of batches of this project are measured:
uint8 batches, as they are sent to the device, and finished training batches on the CPU (float32,
normalized). The latter use the augmentation of the default recipe, or flips only.

Then the anonymous memory is measured during an epoch over many stored images. The files are created
by this script. Creating them and storing their pixels is not measured here; see ``ingest.py``.
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
from record import ROOT, save_results
from skin_lesions.config.train import Augmentation, TrainRecipe
from skin_lesions.data.loader import ImageDataset, shuffled_batches
from skin_lesions.data.preprocessing_settings import IMAGENET_MEAN, IMAGENET_STD
from skin_lesions.models.devices import keep_freed_memory, limit_threads
from skin_lesions.training.augmentation import apply_augmentations, sample_augmentations

BATCH, SIZE, SEED = 32, 224, 1
CPU = torch.device("cpu")


def default_augmentation() -> Augmentation:
    values = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/base/parameters/train.yml"))
    return TrainRecipe.model_validate(values["train"]).augmentation


def flips_only() -> Augmentation:
    values = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/notebook/parameters.yml"))
    return Augmentation.model_validate(values["train"]["augmentation"] | {"flips": True})


def notebook_batches(folder: Path, workers: int) -> Iterator[torch.Tensor]:
    steps = [
        transforms.Resize((SIZE, SIZE)),
        transforms.ToTensor(),
        transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ]
    images = ImageFolder(str(folder), transforms.Compose(steps))
    for batch, _ in DataLoader(images, batch_size=BATCH, shuffle=True, num_workers=workers):
        yield batch


def uint8_batches(images: ImageDataset) -> Iterator[torch.Tensor]:
    batches = shuffled_batches(len(images), BATCH, SEED, epoch=1)
    for batch, _ in images.iter_batches(batches, CPU):
        yield batch


def training_batches(images: ImageDataset, augmentation: Augmentation) -> Iterator[torch.Tensor]:
    augmentations, start = (
        sample_augmentations(len(images), SEED, 1, augmentation, images.preprocessing),
        0,
    )
    for batch, labels in images.iter_batches(
        shuffled_batches(len(images), BATCH, SEED, epoch=1), CPU
    ):
        targets = one_hot(labels, images.num_classes).float()
        yield apply_augmentations(batch, targets, augmentations[start : start + len(batch)])[0]
        start += len(batch)


def rate(batches: Callable[[], Iterator[torch.Tensor]]) -> float:
    """Iterate over one epoch. Return images/s, including the start of the workers."""
    start = time.perf_counter()
    images = sum(len(batch) for batch in batches())
    return images / (time.perf_counter() - start)


def anonymous_megabytes() -> float:
    """Return the anonymous memory (not backed by files) of this process, on Linux."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def memory_over_an_epoch(folder: Path, n: int) -> dict[str, float]:
    """Read all images of a large store once. Return speed and increase of anonymous memory."""
    images = stored_images(folder, n, SIZE)
    num_read, before = 0, anonymous_megabytes()
    highest = before
    start = time.perf_counter()
    for batch in uint8_batches(images):
        num_read += len(batch)
        highest = max(highest, anonymous_megabytes())
    return {
        "epoch_images": num_read,
        "epoch_images_per_second": num_read / (time.perf_counter() - start),
        "anonymous_memory_rise_mb": highest - before,
    }


def main(images: int, rounds: int, epoch_images: int, record: str) -> None:
    limit_threads()  # as at the start of a training
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_photographs(folder / "source", images, 600, 450)
        stored = stored_images(folder / "pixels", images, SIZE)
        loaders = {
            "notebook_0_workers": lambda: notebook_batches(folder / "source", 0),
            "notebook_2_workers": lambda: notebook_batches(folder / "source", 2),
            "uint8": lambda: uint8_batches(stored),
            "finished_default": lambda: training_batches(stored, default_augmentation()),
            "finished_flips_only": lambda: training_batches(stored, flips_only()),
        }
        rates: dict[str, list[float]] = {name: [] for name in loaders}
        for round_ in range(rounds + 1):
            for name, batches in loaders.items():
                measured = rate(batches)
                if round_:  # the first round is a warm-up
                    rates[name].append(measured)
        medians = {name: statistics.median(values) for name, values in rates.items()}
        notebook = max(medians["notebook_0_workers"], medians["notebook_2_workers"])
        memory = memory_over_an_epoch(folder / "many", epoch_images)
    save_results(
        record,
        {f"{name}_images_per_second": value for name, value in medians.items()}
        | {f"{name}_times_the_notebook": medians[name] / notebook for name in list(loaders)[2:]}
        | memory
        | {"images": images, "image_size": SIZE, "rounds": rounds},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1920)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epoch-images", type=int, default=30_000)
    parser.add_argument("--name", dest="record", default="loading")
    main(**vars(parser.parse_args()))
