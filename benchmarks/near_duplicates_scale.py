"""How long the search for changed copies takes, and how much memory, as the images grow in number.

    python benchmarks/near_duplicates_scale.py --folder ../shared/data/isic8_grouped
    python benchmarks/near_duplicates_scale.py --folder ../shared/data/isic8_grouped ../shared/data/isic2017 --real 6000

The first searches 25, 50 and 100 thousand made-up images: each draws its keypoints from all real
ones of the folders, descriptors with noise, so that they lie as densely as real ones. The second
takes the whole way, decoded pixels to groups, with that many real images, one in six a changed
copy, and searches 30,000 made-up ones, to reckon what the whole way takes for these. On Linux.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from copies import changed_copies, read

from record import keep
from skin_lesions.data.near_duplicates import details, find_near_duplicates, merge_pairs, whole
from skin_lesions.data.near_duplicates.features import THUMBNAIL, Features, FileArray, describe
from skin_lesions.data.near_duplicates.search import single_threaded_backends

MANY = 30_000  # images, as many as the whole way is reckoned for
NOISE = 15.0  # of a descriptor; with it, words are as crowded, and votes as many, as with real ones
SAMPLE = 2000  # real images whose keypoints are drawn
MEMORY = {"RssAnon": "anonymous", "VmRSS": "resident"}


def keypoints_of(squares: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the voters of real images: keypoints (m, 4) and descriptors (m, 128)."""
    with single_threaded_backends():
        features = describe(squares, np.arange(len(squares)), folder)
    _, keypoints, descriptors = features.local_features(0, len(features), details.VOTERS)
    return keypoints, descriptors


def made_up(n: int, real: tuple[np.ndarray, np.ndarray], folder: Path) -> Features:
    """Make features of n images from keypoints drawn from these, and of smooth thumbnails."""
    rng = np.random.default_rng(0)
    voters = details.VOTERS
    columns = (
        FileArray(folder / "keypoints", np.float32, (voters, 4)),
        FileArray(folder / "descriptors", np.uint8, (voters, 128)),
        FileArray(folder / "thumbnails", np.uint8, (THUMBNAIL, THUMBNAIL)),
    )
    with ExitStack() as stack:
        files = [stack.enter_context(column.path.open("wb")) for column in columns]
        for start in range(0, n, 1000):
            drawn = rng.integers(0, len(real[0]), (min(1000, n - start), voters))
            noisy = real[1][drawn] + rng.normal(0, NOISE, (*drawn.shape, 128)).astype(np.float32)
            noisy = noisy.clip(0, None)
            noisy *= 512 / np.linalg.norm(noisy, axis=2, keepdims=True)
            coarse = rng.integers(0, 255, (len(drawn), 6, 6)).astype(np.uint8)
            smooth = np.stack([cv2.resize(grey, (THUMBNAIL, THUMBNAIL)) for grey in coarse])
            parts = (real[0][drawn], noisy.clip(0, 255).astype(np.uint8), smooth)
            for file, part in zip(files, parts, strict=True):
                file.write(part.data)
    return Features(np.full(n, voters), *columns)


def memory() -> dict[str, float]:
    """Return what this process holds now, GB: anonymous, and with the files and code it maps."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {MEMORY[key[:-1]]: int(kb[0]) / 2**20 for key, *kb in lines if key[:-1] in MEMORY}


@contextmanager
def peak() -> Iterator[dict[str, float]]:
    """Yield a table of the largest memory seen meanwhile, looked at ten times a second."""
    most, over = memory(), threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            most.update({kind: max(most[kind], now) for kind, now in memory().items()})

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


def searched(n: int, real: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    searches: tuple[Callable, ...] = (whole.alike_as_a_whole, details.alike_in_details)
    with tempfile.TemporaryDirectory() as folder:
        features = made_up(n, real, Path(folder))
        before, cpu_start = memory(), time.process_time()
        seconds, proposed = {}, 0
        with single_threaded_backends(), peak() as most:
            for search in searches:
                start = time.perf_counter()
                proposed += len(search(features))
                seconds[search.__name__] = time.perf_counter() - start
            cpu = time.process_time() - cpu_start
    return {
        "seconds": sum(seconds.values()),
        "seconds_of_each": seconds,
        "cpu_seconds": cpu,
        "milliseconds_per_image": 1000 * sum(seconds.values()) / n,
        "pairs_proposed_per_image": proposed / n,
        "GB_before": before,
        "GB_at_most": most,
    }


def searched_alone(n: int, real: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """Search in a process of its own: what this one holds would count as the search's memory."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(searched, n, real).result()


def whole_way(folders: list[Path], total: int, real: tuple[np.ndarray, np.ndarray]) -> None:
    squares = of_real_images(folders, total)
    start = time.perf_counter()
    with peak() as most:
        pairs = find_near_duplicates(squares)
        merge_pairs(len(squares), pairs)
    took = time.perf_counter() - start
    seconds, proposed = pairs.attrs["seconds"], pairs.attrs["proposed"]
    search = searched_alone(MANY, real)
    per_pair = seconds["confirming"] / proposed
    more = max(search["pairs_proposed_per_image"], proposed / len(squares)) * MANY
    expected = {
        "describing": seconds["describing"] / len(squares) * MANY,
        "searching": search["seconds"],
        "confirming": per_pair * more,
    }
    results = {
        "images": len(squares),
        "seconds": took,
        "seconds_of_each": seconds,
        "pairs_proposed_per_image": proposed / len(squares),
        "milliseconds_to_confirm_a_pair": 1000 * per_pair,
        "GB_at_most": most,
        f"search_of_{MANY}": search,
        f"expected_seconds_for_{MANY}": {**expected, "all": sum(expected.values())},
    }
    keep("near_duplicates_end_to_end", results)


def of_real_images(folders: list[Path], total: int) -> np.ndarray:
    """Read real images and change some of them, one in six of the total, each in one way."""
    rng = np.random.default_rng(0)
    parts, copies = [], total // 6
    for folder in folders:
        names, originals = read(folder)
        parts.append(originals)
        chosen = rng.choice(len(names), min(copies // len(folders), len(names)), replace=False)
        parts.append(changed_copies(folder, names, chosen, alone=True, seed=0)[1])
    originals = np.concatenate(parts[::2])
    changed = np.concatenate(parts[1::2])
    kept = rng.permutation(len(originals))[: total - len(changed)]
    return np.concatenate([originals[kept], changed])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, nargs="+", required=True)
    parser.add_argument("--search", type=int, nargs="+", default=[25_000, 50_000, 100_000])
    parser.add_argument("--real", type=int, help="take the whole way with this many real images")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        keypoints = keypoints_of(read(given.folder[0])[1][:SAMPLE], Path(kept))
    if given.real:
        whole_way(given.folder, given.real, keypoints)
    else:
        keep("near_duplicates_scale", {str(n): searched_alone(n, keypoints) for n in given.search})
