"""Benchmark of the constants of near-duplicate detection: recall and precision with other values.

    python benchmarks/near_duplicates_constants.py --folder ../shared/data/isic8_grouped

Each image of a random sample is transformed once, as with ``near_duplicates.py --single``. The
search then runs with the defaults, and with one smaller and one larger value of each constant. The
features of the images are computed once, except for the constants that change them.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from near_duplicates import known_groups, read_images, score_groups, transform_images
from record import save_results
from skin_lesions.data.near_duplicates import NearDuplicateConfig, merge_pairs
from skin_lesions.data.near_duplicates.features import Candidates, Features, describe
from skin_lesions.data.near_duplicates.search import (
    find_candidates,
    single_threaded_backends,
    verify_candidates,
)

# A smaller and a larger value of each constant. These values change the features of the images.
OF_FEATURES = {
    "max_keypoints": (300, 700),
    "detection_size": (256, 400),
    "contrast_threshold": (0.005, 0.02),
    "clahe_clip_limit": (1.0, 4.0),
}
# These values change the candidates.
OF_CANDIDATES = {
    "min_cosine": (0.95, 0.99),
    "max_voting_keypoints": (200, 500),
    "min_candidates": (6, 24),
    "max_hamming_distance": (16, 24),
    "vote_sigma": (8.0, 18.0),
    "min_votes": (0.2, 0.8),
    "max_octaves": (1, 4),
    "rotation_bins": (6, 24),
}
# These values change the verification.
OF_VERIFICATION = {
    "min_structural_correlation": (0.8, 0.95),
    "clip_level": (4.0, 16.0),
    "dark_level": (20, 80),
    "lowe_ratio": (0.75, 0.9),
    "ransac_threshold": (2.0, 8.0),
    "inlier_distance": (1, 4),
    "min_inliers": (3, 8),
    "min_cells": (4, 16),
    "min_cell_correlation": (0.5, 0.85),
    "min_texture_correlation": (0.4, 0.7),
    "min_lower_texture_correlation": (0.0, 0.4),
    "min_coarse_correlation": (0.88, 0.97),
    "min_cell_contrast": (0.25, 1.0),
}


CONSTANTS = {**OF_FEATURES, **OF_CANDIDATES, **OF_VERIFICATION}


class Sample:
    """Images of a folder and one near-duplicate of each, and the true group of each image."""

    def __init__(self, folder: Path, images: int, seed: int):
        names, originals = read_images(folder)
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(len(names), min(images, len(names)), replace=False))
        self.duplicates, transformed = transform_images(
            folder, names, chosen, single=True, seed=seed
        )
        self.images = [*(originals[row] for row in chosen), *transformed]
        self.truth = np.tile(known_groups(folder, names)[chosen], 2)
        # Rows of the sample instead of rows of the folder.
        self.duplicates["origin"] = np.searchsorted(chosen, self.duplicates["origin"])
        self.originals = len(chosen)

    def score(self, pairs: pd.DataFrame, config: NearDuplicateConfig) -> dict[str, float]:
        """Return recall and precision of the groups that these pairs give."""
        groups = merge_pairs(len(self.images), pairs, config=config)
        return {
            **score_groups(groups, self.truth, self.duplicates, self.originals),
            "pairs": len(pairs),
        }


def describe_sample(sample: Sample, config: NearDuplicateConfig, folder: Path) -> Features:
    folder.mkdir()
    return describe(sample.images, folder, config)[0]


def search(
    sample: Sample,
    features: Features,
    config: NearDuplicateConfig,
    candidates: Candidates | None = None,
) -> dict[str, float]:
    """Score the search with these features, and with these candidates if they are given."""
    if candidates is None:
        candidates = find_candidates(features, config)
    scores = sample.score(verify_candidates(features, candidates, config), config)
    return {**scores, "candidates_per_image": len(candidates) / len(sample.images)}


def vary_constants(
    sample: Sample, folder: Path, constants: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Score the search with the defaults and with each other value of these constants."""
    default = NearDuplicateConfig()
    features = describe_sample(sample, default, folder / "default")
    candidates = find_candidates(features, default)
    results = {"default": search(sample, features, default, candidates)}
    for name in constants:
        for value in CONSTANTS[name]:
            config = replace(default, **{name: value})
            variant = f"{name}={value}"
            if name in OF_FEATURES:
                changed = describe_sample(sample, config, folder / variant)
                results[variant] = search(sample, changed, config)
            elif name in OF_CANDIDATES:
                results[variant] = search(sample, features, config)
            else:
                results[variant] = search(sample, features, config, candidates)
            print(variant, {key: round(score, 4) for key, score in results[variant].items()})
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000, help="size of the sample")
    parser.add_argument(
        "--constants", nargs="+", choices=CONSTANTS, default=list(CONSTANTS), metavar="CONSTANT"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, single_threaded_backends():
        sample = Sample(args.folder, args.images, args.seed)
        results = vary_constants(sample, Path(temporary), args.constants)
    save_results("near_duplicates_constants", {"images": args.images, "variants": results})
