"""Benchmark of the time and memory of near-duplicate search for large numbers of images.

    python benchmarks/near_duplicates_scale.py --folder ../shared/data/isic8_grouped
    python benchmarks/near_duplicates_scale.py --folder ../shared/data/isic8_grouped \
        ../shared/data/isic2017 --real 6000

The first command searches 25,000, 50,000 and 100,000 simulated images. The keypoints of each are
drawn from those of up to 2,000 real images of the first folder, with noise on the descriptors. They
are therefore as dense as real keypoints.

The second command runs the search end to end, from decoded pixels to groups, with 6,000 real
images. One in six is a near-duplicate. It also searches 30,000 simulated images and estimates the
end-to-end time for this number (``--extrapolate``). The script requires Linux.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from near_duplicates import read_images, transform_images
from record import save_results
from skin_lesions.data.near_duplicates import find_near_duplicates, merge_pairs
from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG
from skin_lesions.data.near_duplicates.features import Features, describe
from skin_lesions.data.near_duplicates.global_descriptors import match_global_descriptors
from skin_lesions.data.near_duplicates.local_matching import (
    match_local_features,
    voting_keypoints,
)
from skin_lesions.data.near_duplicates.search import single_threaded_backends

# Standard deviation of the descriptor noise. With it, visual words are as crowded and votes as many
# as with real descriptors.
NOISE = 15.0
SAMPLE = 2000  # number of real images from which keypoints are drawn
MEMORY = {"RssAnon": "anonymous", "VmRSS": "resident"}


def real_keypoints(squares: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the voting keypoints of real images, (m, 4), and their descriptors, (m, 128)."""
    with single_threaded_backends():
        features, _ = describe(squares, folder, DEFAULT_CONFIG)
    local = features.local_features(0, len(features), DEFAULT_CONFIG.max_voting_keypoints)
    return local.keypoints, local.descriptors


def simulate_features(n: int, real: tuple[np.ndarray, np.ndarray], folder: Path) -> Features:
    """Simulate the features of n images: keypoints drawn from ``real``, and smooth gray images.

    Only the keypoints that vote are simulated, and small gray images: the search reads no more.
    """
    rng = np.random.default_rng(0)
    num_keypoints = voting_keypoints(n, DEFAULT_CONFIG)
    size = DEFAULT_CONFIG.dct_image_size
    empty = Features.in_folder(folder, n, max_keypoints=num_keypoints, gray_size=size)
    features = replace(empty, counts=np.full(n, num_keypoints))
    columns = (features.keypoints, features.descriptors, features.grays)
    with ExitStack() as stack:
        files = [stack.enter_context(column.path.open("wb")) for column in columns]
        for start in range(0, n, 1000):
            # 1,000 images at a time: rows of real, (images, keypoints).
            drawn = rng.integers(0, len(real[0]), (min(1000, n - start), num_keypoints))
            noisy = real[1][drawn] + rng.normal(0, NOISE, (*drawn.shape, 128)).astype(np.float32)
            noisy = noisy.clip(0, None)
            # Descriptors have the L2 norm 512, like real ones.
            noisy *= 512 / np.linalg.norm(noisy, axis=2, keepdims=True)
            coarse = rng.integers(0, 255, (len(drawn), 6, 6)).astype(np.uint8)
            smooth = np.stack([cv2.resize(gray, (size, size)) for gray in coarse])
            arrays = (real[0][drawn], noisy.clip(0, 255).astype(np.uint8), smooth)
            for file, array in zip(files, arrays, strict=True):
                file.write(array.data)
    return features


def memory() -> dict[str, float]:
    """Return the memory of this process in GB: anonymous, and resident (with mapped files)."""
    lines = (
        line.split() for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    )
    return {MEMORY[key[:-1]]: int(kb[0]) / 2**20 for key, *kb in lines if key[:-1] in MEMORY}


@contextmanager
def peak_memory() -> Iterator[dict[str, float]]:
    """Yield a dictionary with the peak memory, which is measured ten times per second."""
    peak, stop = memory(), threading.Event()

    def measure() -> None:
        while not stop.wait(0.1):
            peak.update({kind: max(peak[kind], current) for kind, current in memory().items()})

    thread = threading.Thread(target=measure)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def measure_search(n: int, real: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    searches: tuple[Callable, ...] = (match_global_descriptors, match_local_features)
    with tempfile.TemporaryDirectory() as folder:
        features = simulate_features(n, real, Path(folder))
        before, cpu_start = memory(), time.process_time()
        seconds, proposed = {}, 0
        with single_threaded_backends(), peak_memory() as peak:
            for search in searches:
                start = time.perf_counter()
                proposed += len(search(features, DEFAULT_CONFIG))
                seconds[search.__name__] = time.perf_counter() - start
            cpu = time.process_time() - cpu_start
    return {
        "seconds": sum(seconds.values()),
        "seconds_of_each": seconds,
        "cpu_seconds": cpu,
        "milliseconds_per_image": 1000 * sum(seconds.values()) / n,
        "pairs_proposed_per_image": proposed / n,
        "GB_before": before,
        "GB_at_most": peak,
    }


def measure_in_new_process(n: int, real: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """Measure the search in a new process, so that the memory of this process does not count."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure_search, n, real).result()


def measure_end_to_end(
    folders: list[Path], total: int, real: tuple[np.ndarray, np.ndarray], extrapolated: int
) -> None:
    squares = real_images(folders, total)
    start = time.perf_counter()
    with peak_memory() as peak:
        pairs = find_near_duplicates(squares)
        merge_pairs(len(squares), pairs)
    total_seconds = time.perf_counter() - start
    seconds, proposed = pairs.attrs["seconds"], pairs.attrs["proposed"]
    search = measure_in_new_process(extrapolated, real)
    seconds_per_pair = seconds["confirming"] / proposed
    # The larger of the two measured rates of candidate pairs.
    expected_pairs = max(search["pairs_proposed_per_image"], proposed / len(squares)) * extrapolated
    expected = {
        "describing": seconds["describing"] / len(squares) * extrapolated,
        "searching": search["seconds"],
        "confirming": seconds_per_pair * expected_pairs,
    }
    results = {
        "images": len(squares),
        "seconds": total_seconds,
        "seconds_of_each": seconds,
        "pairs_proposed_per_image": proposed / len(squares),
        "milliseconds_to_confirm_a_pair": 1000 * seconds_per_pair,
        "GB_at_most": peak,
        f"search_of_{extrapolated}": search,
        f"expected_seconds_for_{extrapolated}": {**expected, "all": sum(expected.values())},
    }
    save_results("near_duplicates_end_to_end", results)


def real_images(folders: list[Path], total: int) -> np.ndarray:
    """Read real images and add near-duplicates: one in six images, each transformed once."""
    rng = np.random.default_rng(0)
    parts, num_duplicates = [], total // 6
    for folder in folders:
        names, originals = read_images(folder)
        parts.append(originals)
        chosen = rng.choice(
            len(names), min(num_duplicates // len(folders), len(names)), replace=False
        )
        parts.append(transform_images(folder, names, chosen, single=True, seed=0)[1])
    originals = np.concatenate(parts[::2])
    transformed = np.concatenate(parts[1::2])
    selected = rng.permutation(len(originals))[: total - len(transformed)]
    return np.concatenate([originals[selected], transformed])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, nargs="+", required=True)
    parser.add_argument("--search", type=int, nargs="+", default=[25_000, 50_000, 100_000])
    parser.add_argument("--real", type=int, help="run end to end with this number of real images")
    parser.add_argument(
        "--extrapolate",
        type=int,
        default=30_000,
        help="number of images for which the end-to-end time is estimated",
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        keypoints = real_keypoints(read_images(args.folder[0])[1][:SAMPLE], Path(temporary))
    if args.real:
        measure_end_to_end(args.folder, args.real, keypoints, args.extrapolate)
    else:
        save_results(
            "near_duplicates_scale",
            {str(n): measure_in_new_process(n, keypoints) for n in args.search},
        )
