"""Training steps of ResNet-18 at 224, batch 32, fp32: channels-last against the default layout.

Both in one process, in turn, so that a machine that slows down slows both.
"""

import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from record import keep
from skin_lesions.networks import build_network

BATCH, SIZE, CLASSES = 32, 224, 14
# 1.81 GMAC forward (torchvision's table of weights), two operations each, three times for a step.
GFLOP_PER_IMAGE = 1.81 * 2 * 3


def trainer(memory_format: torch.memory_format) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = build_network("resnet18", CLASSES).to(memory_format=memory_format)
    return network, torch.optim.AdamW(network.parameters(), lr=1e-4)


def seconds_of_a_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> float:
    start = time.perf_counter()
    loss = cross_entropy(network(images), labels)
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


def main(rounds: int) -> None:
    labels = torch.randint(CLASSES, (BATCH,))
    images = torch.randn(BATCH, 3, SIZE, SIZE)
    formats = {"default": torch.contiguous_format, "channels_last": torch.channels_last}
    trainers = {name: trainer(layout) for name, layout in formats.items()}
    inputs = {name: images.contiguous(memory_format=layout) for name, layout in formats.items()}
    seconds: dict[str, list[float]] = {name: [] for name in formats}
    for round_ in range(rounds + 1):
        for name in formats:
            spent = seconds_of_a_step(*trainers[name], inputs[name], labels)
            if round_:  # the first is for warming up
                seconds[name].append(spent)
    pairs = zip(seconds["default"], seconds["channels_last"], strict=True)
    rates = {name: BATCH / statistics.median(spent) for name, spent in seconds.items()}
    ceiling = matrix_gflops()
    keep(
        "step",
        {f"{name}_images_per_second": rate for name, rate in rates.items()}
        | {"ratio": statistics.median(a / b for a, b in pairs)}
        | {f"{name}_gflops": rate * GFLOP_PER_IMAGE for name, rate in rates.items()}
        | {
            "matrix_product_gflops": ceiling,
            "highest_ratio_possible": ceiling / (rates["default"] * GFLOP_PER_IMAGE),
        }
        | {"rounds": rounds, "threads": torch.get_num_threads()},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    main(parser.parse_args().rounds)
