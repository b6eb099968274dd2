"""Benchmark of training steps beside another busy process, with several settings of OpenMP.

Each setting is measured in new processes, because OpenMP reads it once. The settings alternate, on
a quiet machine and beside one process that keeps a core busy.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from record import save_results
from skin_lesions.models.devices import keep_freed_memory, limit_threads
from skin_lesions.models.precision import choose_precision
from step import BATCH, CLASSES, CPU, step_seconds, trainer

SETTINGS = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one_thread": {"OMP_NUM_THREADS": "1"},
}


def measured_step(architecture: str, image_size: int, seconds: float) -> float:
    """Return the mean duration of a training step, measured for about ``seconds``."""
    limit_threads()  # as at the start of a training
    keep_freed_memory()
    precision = choose_precision(CPU, "auto")
    network, optimizer = trainer(architecture, "none", torch.channels_last, image_size)
    images = torch.randn(BATCH, 3, image_size, image_size)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (BATCH,))
    step_seconds(network, optimizer, images, labels, precision)  # warm-up
    start, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - start < seconds:
        step_seconds(network, optimizer, images, labels, precision)
        steps += 1
    return (time.perf_counter() - start) / steps


@contextmanager
def busy_process() -> Iterator[None]:
    """Keep one core busy within the block."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def child_step(setting: str, options: list[str]) -> float:
    """Measure one setting in a new process."""
    environment = {name: value for name, value in os.environ.items() if "OMP_" not in name}
    completed = subprocess.run(
        [sys.executable, __file__, "--child", *options],
        env=environment | SETTINGS[setting],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(completed.stdout))


def main(architecture: str, image_size: int, seconds: float, rounds: int, name: str) -> None:
    options = ["--architecture", architecture, "--image-size", str(image_size)]
    options += ["--seconds", str(seconds)]
    quiet: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
    busy: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
    for _ in range(rounds):
        for setting in SETTINGS:
            quiet[setting].append(child_step(setting, options))
            with busy_process():
                busy[setting].append(child_step(setting, options))
    reference = statistics.median(quiet["default"])
    ratios = {
        f"{setting}_{condition}": statistics.median(times[setting]) / reference
        for condition, times in (("quiet", quiet), ("busy", busy))
        for setting in SETTINGS
    }
    save_results(
        name,
        {"architecture": architecture, "image_size": image_size, "batch_size": BATCH}
        | {"default_quiet_seconds_per_step": reference}
        | {f"step_time_ratio_{key}": ratio for key, ratio in ratios.items()}
        | {f"longest_ratio_{key}_busy": max(busy[key]) / reference for key in SETTINGS}
        | {"rounds": rounds, "seconds_per_measurement": seconds},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default="resnet18", help="network (train.architecture)")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8, help="duration of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="busy_core")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = vars(parser.parse_args())
    if arguments.pop("child"):
        del arguments["rounds"], arguments["name"]
        print(measured_step(**arguments))
    else:
        main(**arguments)
