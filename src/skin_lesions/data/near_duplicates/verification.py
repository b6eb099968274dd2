"""Pair verification: align two images and compare them, to check that they show one photograph.

A pair is verified by structural correlation in one of eight poses, or by an affine map. In both
cases, the overlap of the aligned images must be equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.data.near_duplicates.alignment import align
from skin_lesions.data.near_duplicates.config import NearDuplicateConfig
from skin_lesions.data.near_duplicates.features import ImageFeatures
from skin_lesions.data.near_duplicates.gray_images import (
    local_mean,
    pixel_correlation,
    square_element,
)
from skin_lesions.data.near_duplicates.overlap import compare_overlap


@dataclass(frozen=True)
class Verdict:
    """Kind and strength (0 to 1) of a verified pair; see ``find_near_duplicates``."""

    kind: Literal["simple", "changed"]
    strength: float


def verify_pair(
    a: ImageFeatures,
    b: ImageFeatures,
    config: NearDuplicateConfig,
    *,
    orientations: Sequence[bool] = (False, True),
) -> Verdict | None:
    """Return kind and strength of a near-duplicate pair, or None if the images differ.

    Args:
        a: Features of the first image.
        b: Features of the second image.
        config: Thresholds.
        orientations: Whether to mirror the second image, in the order of the trials.
    """
    pose = _best_pose(a.gray, b.gray, config)
    if pose.correlation >= config.min_structural_correlation:
        overlap = compare_overlap(a, b, pose.affine(a, b), config, mirrored=pose.flipped)
        # Smooth skin without any texture has no cells.
        if overlap.is_flat or overlap.is_equal(config):
            return Verdict("simple", pose.correlation)
    for mirrored in orientations:
        alignment = align(a, b, config, mirrored=mirrored)
        if alignment is None or alignment.count < config.min_inliers:
            continue
        if compare_overlap(a, b, alignment.affine, config, mirrored=mirrored).is_equal(config):
            strength = alignment.count / (alignment.count + config.inliers_of_half_strength)
            return Verdict("changed", strength)
    return None


@dataclass(frozen=True)
class Pose:
    """One of the eight poses of the second image: flipped left-right or not, then quarter turns.

    ``correlation`` is the structural correlation with the first image in this pose.
    """

    correlation: float
    flipped: bool = False
    turns: int = 0

    def affine(self, a: ImageFeatures, b: ImageFeatures) -> npt.NDArray[np.float64]:
        """Return the (2, 3) map from image a to image b, flipped, in reference pixels."""
        # Both squares have coordinates from -1 to 1. np.rot90 turns b counterclockwise by a quarter
        # turn; the map from a to b turns back: (x, y) -> (-y, x) for one turn.
        turn = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), self.turns)
        half_a, half_b = a.frame.astype(np.float64) / 2, b.frame.astype(np.float64) / 2
        linear = np.diag(half_b) @ turn @ np.diag(1 / half_a)
        return np.column_stack([linear, half_b - linear @ half_a])


def _best_pose(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], config: NearDuplicateConfig
) -> Pose:
    """Return the pose of b with the largest structural correlation with a."""
    fixed, fixed_mask = _structure(a, config)
    moving, moving_mask = _structure(b, config)
    min_pixels = fixed.size * config.min_common_fraction
    best = Pose(0.0)
    for flipped in (False, True):
        step = -1 if flipped else 1
        for turns in range(4):
            turned = np.rot90(moving[:, ::step], turns)
            both = fixed_mask & np.rot90(moving_mask[:, ::step], turns)  # (48, 48)
            # With few common pixels, a high correlation has no meaning.
            if both.sum() >= min_pixels:
                correlation = pixel_correlation(fixed[both], turned[both], config.min_contrast)
                if correlation > best.correlation:
                    best = Pose(correlation, flipped, turns)
    return best


def _structure(
    image: npt.NDArray[np.uint8], config: NearDuplicateConfig
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the local structure of a gray square without illumination, and a mask of valid pixels.

    The mask excludes pixels near the dark rim of the dermatoscope. The rim is the same in many
    images and has more contrast than anything on the skin.

    Returns:
        Structure in gray levels and mask: (48, 48) both.
    """
    size = (config.structure_size, config.structure_size)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    gray = small.astype(np.float32)
    bright = (gray > config.dark_level).astype(np.float32)  # 1 or 0
    detail = gray - local_mean(gray, bright, config.structure_blur)
    clipped = np.clip(detail, -config.clip_level, config.clip_level).astype(np.float32)
    valid = cv2.erode(bright, square_element(config.dark_margin)) > 0
    # Pixels beyond the image border are unknown, so the blur creates false structure near it.
    inner = slice(config.structure_margin, -config.structure_margin)
    return clipped[inner, inner], valid[inner, inner]
