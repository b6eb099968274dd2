"""Benchmark of training steps at 224 pixels, batch 32: this project compared with the notebook.

The notebook uses the default memory layout in float32. This project is measured twice:
channels-last in float32, and channels-last with the precision of ``train.precision: auto`` on this
machine. All variants run alternately in one process, so that changes in the speed of the machine
affect all of them. By default, ResNet-18 starts from random weights and the pixels are random. The
content of the images and the values of the weights do not change the time.
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
from options import add_weights_option, reported_weights
from record import save_results
from skin_lesions.data.decoding import decode
from skin_lesions.models.devices import keep_freed_memory, limit_threads
from skin_lesions.models.networks import create_network
from skin_lesions.models.precision import autocast, choose_precision

BATCH, SIZE, CLASSES = 32, 224, 14
CPU = torch.device("cpu")


def trainer(
    architecture: str, weights: str, memory_format: torch.memory_format, image_size: int = SIZE
) -> tuple[nn.Module, torch.optim.Optimizer]:
    classes = [str(number) for number in range(CLASSES)]
    initial = create_network(
        architecture=architecture,
        weights=weights,
        weights_sha256=None,
        classes=classes,
        image_sizes=[image_size],
        seed=0,
    )
    network = initial.network.to(memory_format=memory_format)
    return network, torch.optim.AdamW(network.parameters(), lr=1e-4)


def gflop_per_image(network: nn.Module, image: torch.Tensor) -> float:
    """Return the GFLOP of a training step per image: forward, and twice as many backward."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(image)
    network.train()
    return 3 * counter.get_total_flops() / 1e9


def step_seconds(
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


def matrix_gflops(size: int, rounds: int = 8) -> float:
    """Return the GFLOP/s of a product of two square matrices, the upper limit of any step."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    torch.mm(a, b)
    start = time.perf_counter()
    for _ in range(rounds):
        torch.mm(a, b)
    # A product of two (size, size) matrices needs 2 * size**3 operations.
    return 2 * size**3 * rounds / (time.perf_counter() - start) / 1e9


def load_batch(folder: Path | None, batch_size: int, image_size: int) -> torch.Tensor:
    """Return the first batch of images of a folder, or random pixels without a folder."""
    if folder is None:
        return torch.randn(batch_size, 3, image_size, image_size)
    files = image_files(folder)
    pixels = np.stack([decode(file.read_bytes(), image_size).pixels for file in files[:batch_size]])
    if len(pixels) < batch_size:
        raise SystemExit(
            f"Too few images in {folder} ({len(pixels)}). Expected at least one batch "
            f"({batch_size})."
        )
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).div(127.5).sub(1)


def main(args: argparse.Namespace) -> None:
    architecture, weights, rounds = args.architecture, args.weights, args.rounds
    limit_threads()  # as at the start of a training
    if not args.return_freed_memory:
        keep_freed_memory()
    labels = torch.randint(CLASSES, (args.batch_size,))
    images = load_batch(args.folder, args.batch_size, args.image_size)
    precision_of_recipe = choose_precision(CPU, "auto")
    # Memory format and precision of each variant.
    variants = {
        "notebook": (torch.contiguous_format, torch.float32),
        "channels_last": (torch.channels_last, torch.float32),
        "default_recipe": (torch.channels_last, precision_of_recipe),
    }
    trainers = {
        variant: trainer(architecture, weights, options[0], args.image_size)
        for variant, options in variants.items()
    }
    inputs = {
        variant: images.contiguous(memory_format=options[0])
        for variant, options in variants.items()
    }
    gflop = gflop_per_image(trainers["notebook"][0], images[:1])
    seconds: dict[str, list[float]] = {variant: [] for variant in variants}
    for round_ in range(rounds + 1):
        for variant, (_, precision) in variants.items():
            elapsed = step_seconds(*trainers[variant], inputs[variant], labels, precision)
            if round_:  # the first round is a warm-up
                seconds[variant].append(elapsed)
    rates = {
        variant: args.batch_size / statistics.median(times) for variant, times in seconds.items()
    }
    matrix_rate = matrix_gflops(args.matrix_size)

    def ratio(variant: str) -> float:
        pairs = zip(seconds["notebook"], seconds[variant], strict=True)
        return statistics.median(notebook / ours for notebook, ours in pairs)

    save_results(
        args.name,
        {"architecture": architecture, "weights": reported_weights(weights)}
        | {"precision_of_default_recipe": str(precision_of_recipe).removeprefix("torch.")}
        | {f"{variant}_images_per_second": rate for variant, rate in rates.items()}
        | {f"ratio_{variant}": ratio(variant) for variant in list(variants)[1:]}
        | {f"{variant}_gflops": rate * gflop for variant, rate in rates.items()}
        | {
            "matrix_product_gflops": matrix_rate,
            "default_recipe_share_of_matrix_product": rates["default_recipe"] * gflop / matrix_rate,
            "highest_ratio_possible_in_float32": matrix_rate / (rates["notebook"] * gflop),
        }
        | {"rounds": rounds, "threads": torch.get_num_threads()}
        | {"keep_freed_memory": not args.return_freed_memory},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="folder of images; default: random pixels")
    parser.add_argument("--architecture", default="resnet18", help="network (train.architecture)")
    add_weights_option(parser, default="none")
    parser.add_argument("--batch-size", type=int, default=BATCH)
    parser.add_argument("--image-size", type=int, default=SIZE)
    parser.add_argument("--matrix-size", type=int, default=2048)
    parser.add_argument(
        "--return-freed-memory",
        action="store_true",
        help="as with train.keep_freed_memory=false; the default is true",
    )
    parser.add_argument("--name", default="step")
    main(parser.parse_args())
