"""Near-duplicate search: from decoded images to verified pairs that show the same photograph."""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG, NearDuplicateConfig
from skin_lesions.data.near_duplicates.features import (
    Candidates,
    Features,
    ImageSequence,
    describe,
)
from skin_lesions.data.near_duplicates.global_descriptors import match_global_descriptors
from skin_lesions.data.near_duplicates.local_matching import match_local_features
from skin_lesions.data.near_duplicates.verification import Verdict, verify_pair

log = logging.getLogger(__name__)

COLUMNS = ["a", "b", "kind", "strength"]


def find_near_duplicates(
    images: ImageSequence, config: NearDuplicateConfig = DEFAULT_CONFIG
) -> pd.DataFrame:
    """Find the pairs of images that were made from the same photograph.

    The result is deterministic and does not depend on the number of threads. The features are
    stored in a temporary folder (about 140 kB per image; set ``TMPDIR`` to choose its location).
    Memory use therefore hardly grows with the number of images.

    There are three kinds of pairs:

    - ``pixels``: all pixels of the two images are equal. The files differ at most in what
      decoding and resizing discard. The strength is 1.
    - ``simple``: re-encoded, resized, flipped, rotated by quarter turns, or brightened. The
      strength is the structural correlation.
    - ``changed``: any stronger transformation. The strength is m / (m + 10), where one affine map
      has m inlier keypoints (10 inliers: 0.5; 30 inliers: 0.75).

    Of m images with equal pixels, the first represents all of them. There are m - 1 pairs with the
    first one, and only the first one is compared with other images.

    Args:
        images: n RGB images (height, width, 3) of any size; stretched squares also work, with lower
            recall for crops of different aspect ratios.
        config: Thresholds, limits and block sizes of all stages.

    Returns:
        One row per verified pair, sorted: ``a`` and ``b`` (row numbers, a < b), ``kind`` and
        ``strength`` (0 to 1). ``attrs`` has the number of candidate pairs (``proposed``) and the
        seconds of each stage (``seconds``).
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, single_threaded_backends():
        features, first = describe(images, Path(folder), config)
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
    distinct = np.flatnonzero(first == np.arange(len(images)))
    verified[["a", "b"]] = distinct[verified[["a", "b"]].to_numpy(np.int64)].reshape(-1, 2)
    pairs = pd.concat([_identical_pairs(first), verified]).sort_values(
        ["a", "b"], ignore_index=True
    )[COLUMNS]
    pairs.attrs = {"proposed": len(candidates), "seconds": seconds}
    return pairs


def find_candidates(features: Features, config: NearDuplicateConfig) -> Candidates:
    """Return candidate pairs for verification, at most a few per image."""
    return Candidates.merged(
        [match_global_descriptors(features, config), match_local_features(features, config)]
    )


def _identical_pairs(first: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Pair each repeated image with the first one with the same pixels."""
    repeated = np.flatnonzero(first != np.arange(len(first)))
    return pd.DataFrame({"a": first[repeated], "b": repeated, "kind": "pixels", "strength": 1.0})


def verify_candidates(
    features: Features, candidates: Candidates, config: NearDuplicateConfig
) -> pd.DataFrame:
    """Verify candidate pairs: one row per verified pair, with the columns of ``COLUMNS``."""

    def verify(number: int) -> Verdict | None:
        a, b = candidates.pairs[number].tolist()
        flags = {False: candidates.unmirrored[number], True: candidates.mirrored[number]}
        orientations = [mirrored for mirrored, is_candidate in flags.items() if is_candidate]
        return verify_pair(features.image(a), features.image(b), config, orientations=orientations)

    verdicts = ordered_map(verify, range(len(candidates)))
    verified = [
        (a, b, verdict.kind, verdict.strength)
        for (a, b), verdict in zip(candidates.pairs.tolist(), verdicts, strict=True)
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
