"""Near-duplicate search: from decoded images to verified pairs that show the same photograph."""

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
from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG, NearDuplicateConfig
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


def find_near_duplicates(
    images: ImageSequence, config: NearDuplicateConfig = DEFAULT_CONFIG
) -> pd.DataFrame:
    """Find the pairs of images that were made from the same photograph.

    The result is deterministic and does not depend on the number of threads. The features are
    stored in a temporary folder (about 60 kB per image; set ``TMPDIR`` to choose its location).
    Memory use therefore hardly grows with the number of images.

    There are three kinds of pairs:

    - ``pixels``: all pixels of the two square images are equal. The files differ at most in what
      decoding and resizing discard. The strength is 1.
    - ``simple``: re-encoded, resized, flipped, rotated by quarter turns, or brightened. The
      strength is the structural correlation.
    - ``changed``: any stronger transformation. The strength is m / (m + 10), where one affine map
      has m inlier keypoints (10 inliers: 0.5; 30 inliers: 0.75).

    Of m images with equal pixels, the first represents all of them. There are m - 1 pairs with the
    first one, and only the first one is compared with other images.

    Args:
        images: n images (size, size, 3), RGB, stretched to a square; may be memory-mapped.
        config: Thresholds, limits and block sizes of all stages.

    Returns:
        One row per verified pair, sorted: ``a`` and ``b`` (row numbers, a < b), ``kind`` and
        ``strength`` (0 to 1). ``attrs`` has the number of candidate pairs (``proposed``) and the
        seconds of each stage (``seconds``).
    """
    start = time.perf_counter()
    first = _first_with_equal_pixels(images)
    distinct = np.flatnonzero(first == np.arange(len(images)))
    with tempfile.TemporaryDirectory() as folder, single_threaded_backends():
        features = describe(images, distinct, Path(folder), config)
        described = time.perf_counter()
        candidates = find_candidates(features, config)
        searched = time.perf_counter()
        verified = verify_candidates(features, candidates, config)
    seconds = {
        "describing": described - start,
        "searching": searched - described,
        "confirming": time.perf_counter() - searched,
    }
    log.info(
        "Near-duplicate search completed: %d images, %d candidate pairs, %d verified (%s)",
        len(images),
        len(candidates),
        len(verified),
        ", ".join(f"{stage} {duration:.0f} s" for stage, duration in seconds.items()),
    )
    # Features exist for distinct images only: translate their numbers into rows of ``images``.
    verified[["a", "b"]] = distinct[verified[["a", "b"]].to_numpy(np.int64)].reshape(-1, 2)
    pairs = pd.concat([_identical_pairs(first), verified]).sort_values(
        ["a", "b"], ignore_index=True
    )[COLUMNS]
    pairs.attrs = {"proposed": len(candidates), "seconds": seconds}
    return pairs


def find_candidates(features: Features, config: NearDuplicateConfig) -> Pairs:
    """Return candidate pairs for verification, at most a few per image: (m, 2), sorted."""
    by_global_descriptors = match_global_descriptors(features, config)
    by_local_features = match_local_features(features, config)
    return sort_pairs(np.vstack([by_global_descriptors, by_local_features]))


def _identical_pairs(first: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Pair each repeated image with the first one with the same pixels."""
    repeated = np.flatnonzero(first != np.arange(len(first)))
    return pd.DataFrame({"a": first[repeated], "b": repeated, "kind": "pixels", "strength": 1.0})


def _first_with_equal_pixels(images: ImageSequence) -> npt.NDArray[np.int64]:
    """Return, for each image, the first row with identical pixels: (n,)."""
    digests = ordered_map(
        lambda row: blake2b(np.ascontiguousarray(images[row]).data, digest_size=16).digest(),
        range(len(images)),
    )
    row_of: dict[bytes, int] = {}
    rows = [row_of.setdefault(digest, row) for row, digest in enumerate(digests)]
    return np.array(rows, np.int64)


def verify_candidates(
    features: Features, candidates: Pairs, config: NearDuplicateConfig
) -> pd.DataFrame:
    """Verify candidate pairs: one row per verified pair, with the columns of ``COLUMNS``."""
    pairs: list[tuple[int, int]] = candidates.tolist()
    verdicts = ordered_map(lambda pair: verify_pair(features, pair[0], pair[1], config), pairs)
    verified = [
        (a, b, verdict.kind, verdict.strength)
        for (a, b), verdict in zip(pairs, verdicts, strict=True)
        if verdict is not None
    ]
    types = {"a": np.int64, "b": np.int64, "kind": object, "strength": float}
    return pd.DataFrame(verified, columns=COLUMNS).astype(types)


@contextmanager
def single_threaded_backends() -> Iterator[None]:
    """Limit OpenCV and BLAS to one thread each, because blocks already run on all cores."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)
