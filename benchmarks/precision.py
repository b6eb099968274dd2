"""Benchmark of the precision of training steps on this CPU: bfloat16 compared with float32.

The record supports the table in ``skin_lesions.models.precision``. Each architecture is trained on
random pixels, in both precisions alternately, so that changes in the speed of the machine affect
both. Memory format and memory reuse are those of a training.
"""

import argparse
import statistics

import torch

from record import save_results
from skin_lesions.models.devices import keep_freed_memory, limit_threads
from step import BATCH, CLASSES, step_seconds, trainer

# Architecture and image size in pixels.
CASES = {
    "resnet18": 224,
    "timm/tf_efficientnet_lite0": 160,
    "mobilenet_v3_large": 160,
    "convnext_tiny": 128,
    "swin_t": 224,
}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def images_per_second(architecture: str, size: int, rounds: int) -> dict[str, float]:
    """Return the median speed of a training step in each precision."""
    images = torch.randn(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (BATCH,))
    trainers = {
        name: trainer(architecture, "none", torch.channels_last, size) for name in PRECISIONS
    }
    seconds: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    for round_ in range(rounds + 1):
        for name, precision in PRECISIONS.items():
            elapsed = step_seconds(*trainers[name], images, labels, precision)
            if round_:  # the first round is a warm-up
                seconds[name].append(elapsed)
    return {name: BATCH / statistics.median(times) for name, times in seconds.items()}


def main(rounds: int, name: str) -> None:
    limit_threads()  # as at the start of a training
    keep_freed_memory()
    results: dict[str, object] = {"batch_size": BATCH, "rounds": rounds}
    for architecture, size in CASES.items():
        rates = images_per_second(architecture, size, rounds)
        case = f"{architecture.rpartition('/')[2]}_{size}"
        results |= {f"{case}_{dtype}_images_per_second": rate for dtype, rate in rates.items()}
        results[f"{case}_ratio"] = rates["bfloat16"] / rates["float32"]
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    names = ("avx512_bf16", "amx_bf16", "avx512_f", "avx2")
    results["instructions"] = [name for name in names if capabilities.get(name)]
    save_results(name, results | {"threads": torch.get_num_threads()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--name", default="precision")
    main(**vars(parser.parse_args()))
