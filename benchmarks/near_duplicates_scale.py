"""Benchmark of the time and memory of near-duplicate search for large numbers of images.

    python benchmarks/near_duplicates_scale.py --folder ../shared/data/isic8_grouped
    python benchmarks/near_duplicates_scale.py --folder ../shared/data/isic8_grouped \
        ../shared/data/isic2017 --files 30000

The first command searches 25,000, 50,000 and 100,000 simulated images. The keypoints of each are
drawn from those of up to 2,000 real images of the first folder, with noise on the descriptors. They
are therefore as dense as real keypoints.

The second command writes 30,000 JPEG files and measures the search from files to groups. Each real
image of the folders is transformed several times, so each file has true near-duplicates: at least
as much work as in a usual data set. The script requires Linux.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from images import image_files
from near_duplicates import HARD, MAX_AREA, SIMPLE, encode, read_images
from record import save_results
from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.decoding import decode_within
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


def real_keypoints(images: list[np.ndarray], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the voting keypoints of real images, (m, 4), and their descriptors, (m, 128)."""
    with single_threaded_backends():
        features, _ = describe(images, folder, DEFAULT_CONFIG)
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


@dataclass(frozen=True)
class FileImages:
    """Images of files, decoded one at a time, as the audit pipeline reads them."""

    paths: list[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> np.ndarray:
        return decode_within(self.paths[number].read_bytes(), MAX_AREA)


def write_files(folders: list[Path], total: int, target: Path) -> list[Path]:
    """Write JPEG files: each image of the folders with the next transformations, in turn."""
    originals = [path for folder in folders for path in image_files(folder)]
    transforms = list((SIMPLE | HARD).values())

    def write(number: int) -> Path:
        repetition, row = divmod(number, len(originals))
        image = cv2.imread(str(originals[row]))
        if repetition:
            transform = transforms[(row + repetition) % len(transforms)]
            image = transform(image, np.random.default_rng([row, repetition]))
        path = target / f"{number}.jpg"
        path.write_bytes(encode(image))
        return path

    return list(ordered_map(write, range(total)))


def measure_end_to_end(folders: list[Path], total: int) -> None:
    with tempfile.TemporaryDirectory() as target:
        images = FileImages(write_files(folders, total, Path(target)))
        before, start = memory(), time.perf_counter()
        with peak_memory() as peak:
            pairs = find_near_duplicates(images)
            groups = merge_pairs(len(images), pairs)
        seconds = time.perf_counter() - start
    proposed, confirming = pairs.attrs["proposed"], pairs.attrs["seconds"]["confirming"]
    results = {
        "images": len(images),
        "seconds": seconds,
        "seconds_of_each": pairs.attrs["seconds"],
        "pairs_proposed_per_image": proposed / len(images),
        "pairs_verified_per_image": len(pairs) / len(images),
        "milliseconds_to_verify_a_pair": 1000 * confirming / proposed,
        "groups": len(np.unique(groups)),
        "GB_before": before,
        "GB_at_most": peak,
    }
    save_results("near_duplicates_end_to_end", results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, nargs="+", required=True)
    parser.add_argument("--search", type=int, nargs="+", default=[25_000, 50_000, 100_000])
    parser.add_argument("--files", type=int, help="search this number of files instead")
    args = parser.parse_args()
    if args.files:
        measure_end_to_end(args.folder, args.files)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            keypoints = real_keypoints(read_images(args.folder[0])[1][:SAMPLE], Path(temporary))
        save_results(
            "near_duplicates_scale",
            {str(n): measure_in_new_process(n, keypoints) for n in args.search},
        )
