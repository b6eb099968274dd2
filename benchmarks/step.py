"""Training steps at 224, batch 32: the notebook's (default layout, float32) against ours.

Ours twice: channels-last in float32, and so in the precision that ``train.precision: auto`` takes on this
machine. All in one process, in turn, so that a machine that slows down slows all. ResNet-18 from random weights
on random pixels, unless others are named: what they hold does not change the time.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from images import image_files
from record import keep
from skin_lesions.data.decoding import decode
from skin_lesions.models.devices import configure_backend
from skin_lesions.models.networks import create_network
from skin_lesions.models.precision import autocast, choose_precision

BATCH, SIZE, CLASSES = 32, 224, 14
CPU = torch.device("cpu")


def trainer(
    architecture: str, weights: str, memory_format: torch.memory_format
) -> tuple[nn.Module, torch.optim.Optimizer]:
    classes = [str(number) for number in range(CLASSES)]
    start = create_network(architecture, weights, None, classes, SIZE, seed=0)
    network = start.network.to(memory_format=memory_format)
    return network, torch.optim.AdamW(network.parameters(), lr=1e-4)


def gflop_per_image(network: nn.Module, image: torch.Tensor) -> float:
    """Forward, and twice as much backward."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(image)
    network.train()
    return 3 * counter.get_total_flops() / 1e9


def seconds_of_a_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
    precision: torch.dtype,
) -> float:
    start = time.perf_counter()
    with autocast(CPU, precision):
        logits = network(images)
    loss = cross_entropy(logits.float(), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return time.perf_counter() - start


def matrix_gflops(edge: int = 2048, rounds: int = 8) -> float:
    """What these threads reach in a product of two square matrices: the ceiling of any step."""
    a, b = torch.randn(edge, edge), torch.randn(edge, edge)
    torch.mm(a, b)
    start = time.perf_counter()
    for _ in range(rounds):
        torch.mm(a, b)
    return 2 * edge**3 * rounds / (time.perf_counter() - start) / 1e9


def some_images(folder: Path | None) -> torch.Tensor:
    """Read the first batch of images below a folder; random pixels without one."""
    if folder is None:
        return torch.randn(BATCH, 3, SIZE, SIZE)
    files = image_files(folder)
    pixels = np.stack([decode(file.read_bytes(), SIZE).pixels for file in files[:BATCH]])
    if len(pixels) < BATCH:
        raise SystemExit(f"{folder} holds {len(pixels)} images; a batch takes {BATCH}")
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).div(127.5).sub(1)


def main(rounds: int, folder: Path | None, architecture: str, weights: str, name: str) -> None:
    configure_backend(CPU)  # as a training begins
    labels = torch.randint(CLASSES, (BATCH,))
    images = some_images(folder)
    chosen = choose_precision(CPU, "auto")
    steps = {
        "notebook": (torch.contiguous_format, torch.float32),
        "channels_last": (torch.channels_last, torch.float32),
        "default_recipe": (torch.channels_last, chosen),
    }
    trainers = {name: trainer(architecture, weights, way[0]) for name, way in steps.items()}
    inputs = {name: images.contiguous(memory_format=way[0]) for name, way in steps.items()}
    gflop = gflop_per_image(trainers["notebook"][0], images[:1])
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(rounds + 1):
        for way, (_, precision) in steps.items():
            spent = seconds_of_a_step(*trainers[way], inputs[way], labels, precision)
            if round_:  # the first is for warming up
                seconds[way].append(spent)
    rates = {way: BATCH / statistics.median(spent) for way, spent in seconds.items()}
    ceiling = matrix_gflops()

    def ratio(way: str) -> float:
        pairs = zip(seconds["notebook"], seconds[way], strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)

    keep(
        name,
        {"architecture": architecture, "weights": weights}
        | {"precision_of_default_recipe": str(chosen).removeprefix("torch.")}
        | {f"{way}_images_per_second": rate for way, rate in rates.items()}
        | {f"ratio_{way}": ratio(way) for way in list(steps)[1:]}
        | {f"{way}_gflops": rate * gflop for way, rate in rates.items()}
        | {
            "matrix_product_gflops": ceiling,
            "default_recipe_share_of_matrix_product": rates["default_recipe"] * gflop / ceiling,
            "highest_ratio_possible_in_float32": ceiling / (rates["notebook"] * gflop),
        }
        | {"rounds": rounds, "threads": torch.get_num_threads()},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="take the images of a folder")
    parser.add_argument("--architecture", default="resnet18", help="as train.architecture")
    parser.add_argument("--weights", default="none", help="as train.weights")
    parser.add_argument("--name", default="step")
    main(**vars(parser.parse_args()))
