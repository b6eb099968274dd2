"""From decoded images to the pairs of them that show the same photograph."""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.near_duplicates.features import (
    Features,
    ImageSequence,
    Pairs,
    describe,
    sort_pairs,
)
from skin_lesions.data.near_duplicates.global_descriptors import match_global_descriptors
from skin_lesions.data.near_duplicates.local_matching import match_local_features
from skin_lesions.data.near_duplicates.verification import verify_pair

log = logging.getLogger(__name__)

COLUMNS = ["a", "b", "kind", "strength"]


def find_near_duplicates(images: ImageSequence) -> pd.DataFrame:
    """Find the pairs of images that were made from one photograph.

    Equal images give equal pairs, whatever the number of threads. The features lie in a temporary
    folder (about 60 kB an image, ``TMPDIR`` says where), so memory hardly grows with their number.

    Args:
        images: n times (size, size, 3), RGB, squashed to a square; may be memory-mapped.

    Returns:
        One row per confirmed pair, in order: ``a`` and ``b`` (row numbers, a < b), ``kind`` and
        ``strength`` (0 to 1). Kind ``pixels``: every pixel of the two squares is equal, so the files
        differ at most in what decoding and squashing lose; strength 1. ``simple``: encoded anew, resized, flipped, turned by quarters, brightened; strength is the correlation of
        their structure. ``changed``: anything stronger; strength is m / (m + 10), where m keypoints
        lie where one affine map takes them (10 agree: 0.5; 30 agree: 0.75). Of m pictures with
        equal pixels the first stands for all: m - 1 pairs with it, and only it is compared further.
        ``attrs`` tell how many pairs were proposed and the seconds each stage took.
    """
    start = time.perf_counter()
    first = _first_with_equal_pixels(images)
    distinct = np.flatnonzero(first == np.arange(len(images)))
    with tempfile.TemporaryDirectory() as folder, single_threaded_backends():
        features = describe(images, distinct, Path(folder))
        described = time.perf_counter()
        pairs = find_candidates(features)
        searched = time.perf_counter()
        found = _verify_all(features, pairs)
    seconds = {
        "describing": described - start,
        "searching": searched - described,
        "confirming": time.perf_counter() - searched,
    }
    log.info(
        "%d images, %d pairs proposed, %d confirmed (%s)",
        len(images),
        len(pairs),
        len(found),
        ", ".join(f"{stage} {took:.0f} s" for stage, took in seconds.items()),
    )
    found[["a", "b"]] = distinct[found[["a", "b"]].to_numpy(np.int64)].reshape(-1, 2)
    repeated = np.flatnonzero(first != np.arange(len(images)))
    equal = pd.DataFrame({"a": first[repeated], "b": repeated, "kind": "pixels", "strength": 1.0})
    copies = pd.concat([equal, found]).sort_values(["a", "b"], ignore_index=True)[COLUMNS]
    copies.attrs = {"proposed": len(pairs), "seconds": seconds}
    return copies


def find_candidates(features: Features) -> Pairs:
    """Return the pairs that are worth a closer look, a few for each image."""
    return sort_pairs(
        np.vstack([match_global_descriptors(features), match_local_features(features)])
    )


def _first_with_equal_pixels(images: ImageSequence) -> npt.NDArray[np.int64]:
    """Return, for each image, the first row that has its pixels."""
    digests = ordered_map(
        lambda row: blake2b(np.ascontiguousarray(images[row]).data, digest_size=16).digest(),
        range(len(images)),
    )
    row_of: dict[bytes, int] = {}
    rows = [row_of.setdefault(digest, row) for row, digest in enumerate(digests)]
    return np.array(rows, np.int64)


def _verify_all(features: Features, pairs: Pairs) -> pd.DataFrame:
    verdicts = ordered_map(lambda pair: verify_pair(features, *pair), pairs.tolist())
    kept = [
        (a, b, *verdict)
        for (a, b), verdict in zip(pairs.tolist(), verdicts, strict=True)
        if verdict
    ]
    types = {"a": np.int64, "b": np.int64, "kind": object, "strength": float}
    return pd.DataFrame(kept, columns=COLUMNS).astype(types)


@contextmanager
def single_threaded_backends() -> Iterator[None]:
    """Keep OpenCV and BLAS from starting threads of their own: blocks are spread over the cores already."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)
