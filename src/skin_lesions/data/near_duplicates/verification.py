"""Pair verification: align two images and compare them, to check that they show one photograph.

A pair is verified by structural correlation in one of eight poses, or by an affine map (Lowe
ratio test, RANSAC) with a sufficient correlation of the aligned thumbnails.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.data.near_duplicates.config import NearDuplicateConfig
from skin_lesions.data.near_duplicates.features import (
    DESCRIPTOR_NORM,
    MIRRORED,
    REFERENCE_SIZE,
    Features,
    LocalFeatures,
)


@dataclass(frozen=True)
class Verdict:
    """Kind and strength (0 to 1) of a verified pair; see ``find_near_duplicates``."""

    kind: Literal["simple", "changed"]
    strength: float


@dataclass(frozen=True)
class Alignment:
    """An affine map (2, 3) from the first to the second image, and its inliers.

    ``points`` and ``matched_points``: (inliers, 2) positions in the first and the second image,
    pixels of a 256-pixel image. ``count`` is the number of independent inliers.
    """

    affine: npt.NDArray[np.float64]
    points: npt.NDArray[np.float32]
    matched_points: npt.NDArray[np.float32]
    count: int


def verify_pair(features: Features, a: int, b: int, config: NearDuplicateConfig) -> Verdict | None:
    """Return kind and strength of a near-duplicate pair, or None if the images differ."""
    fixed = features.thumbnail(a)
    moving = features.thumbnail(b)
    correlation = _correlation_in_best_pose(fixed, moving, config)
    if correlation >= config.min_structural_correlation:
        return Verdict("simple", correlation)
    local_a = features.local_features(a, a + 1, config.max_keypoints)
    local_b = features.local_features(b, b + 1, config.max_keypoints)
    for mirrored in (False, True):
        alignment = align(local_a, local_b, config, mirrored=mirrored)
        if alignment is None or alignment.count < config.min_inliers:
            continue
        unmirrored = moving[:, ::-1] if mirrored else moving
        correlations = cell_correlations(fixed, unmirrored, alignment.affine, config)
        used = correlations[~np.isnan(correlations)]
        if len(used) >= config.min_cells and np.median(used) >= config.min_cell_correlation:
            strength = alignment.count / (alignment.count + config.inliers_of_half_strength)
            return Verdict("changed", strength)
    return None


def _correlation_in_best_pose(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], config: NearDuplicateConfig
) -> float:
    """Return the largest structural correlation of two thumbnails over the eight poses of b.

    The eight poses are the combinations of a flip and four quarter turns.
    """
    fixed, fixed_mask = _structure(a, config)
    moving, moving_mask = _structure(b, config)
    min_pixels = fixed.size * config.min_common_fraction
    best = 0.0
    for step in (1, -1):
        flipped = moving[:, ::step]
        flipped_mask = moving_mask[:, ::step]
        for turns in range(4):
            pose = np.rot90(flipped, turns)
            both = fixed_mask & np.rot90(flipped_mask, turns)  # (48, 48)
            # With few common pixels, a high correlation has no meaning.
            if both.sum() >= min_pixels:
                best = max(best, _correlation(fixed[both], pose[both], config.min_contrast))
    return best


def _correlation(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], min_contrast: float
) -> float:
    """Return the uncentered correlation of two vectors, (pixels,) both: a·b / (|a| |b|).

    It is 0 if the RMS of one of them is below ``min_contrast`` gray levels, which is noise.
    """
    energy_a = float(a @ a)
    energy_b = float(b @ b)
    # RMS² = energy / pixels
    if min(energy_a, energy_b) < min_contrast**2 * len(a):
        return 0.0
    return float(a @ b) / float(np.sqrt(energy_a * energy_b))


def _structure(
    thumbnail: npt.NDArray[np.uint8], config: NearDuplicateConfig
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the local structure of a thumbnail without illumination, and a mask of valid pixels.

    The mask excludes pixels near the dark rim of the dermatoscope. The rim is the same in many
    images and has more contrast than anything on the skin.

    Returns:
        Structure in gray levels and mask: (48, 48) both.
    """
    size = (config.structure_size, config.structure_size)
    small = cv2.resize(thumbnail, size, interpolation=cv2.INTER_AREA)
    gray = small.astype(np.float32)
    bright = (gray > config.dark_level).astype(np.float32)  # 1 or 0
    # Local mean over bright pixels only: blur(gray * bright) / blur(bright). Otherwise dark
    # pixels would darken the mean of their neighbors.
    brightness = cv2.GaussianBlur(gray * bright, (0, 0), config.structure_blur)
    weight = cv2.GaussianBlur(bright, (0, 0), config.structure_blur)
    detail = gray - brightness / np.maximum(weight, np.float32(0.01))
    clipped = np.clip(detail, -config.clip_level, config.clip_level).astype(np.float32)
    valid = cv2.erode(bright, _square(config.dark_margin)) > 0
    # Pixels beyond the image border are unknown, so the blur creates false structure near it.
    inner = slice(config.structure_margin, -config.structure_margin)
    return clipped[inner, inner], valid[inner, inner]


def _square(margin: int) -> npt.NDArray[np.uint8]:
    """Return a structuring element that erodes a mask by ``margin`` pixels on each side."""
    return np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)


def cell_correlations(
    a: npt.NDArray[np.uint8],
    b: npt.NDArray[np.uint8],
    affine: npt.NDArray[np.float64],
    config: NearDuplicateConfig,
) -> npt.NDArray[np.float32]:
    """Align thumbnail b with a, and correlate them in each cell.

    Some content is the same in many images: black corners of two rotated images, a rim, a ruler,
    or a caption. Its keypoints agree, and its cells correlate well, but these cells are few.

    Returns:
        (64,) Pearson correlation of each cell, row by row. NaN: the cell is not inside of both
        images, or one of them is flat there.
    """
    fixed = a.astype(np.float32)
    warped, is_inside = _warp(b, affine, config)
    # Pixels outside of b get the value of a, so that the filter creates no edges there.
    filled = np.where(warped >= 0, warped, fixed).astype(np.float32)
    # Pearson correlation of each cell: mean(x y) / (std(x) std(y)) of centered x and y.
    # (64, 256) both: cells, pixels of a cell.
    x = _to_cells(_band_pass(fixed, config), config.cell_size)
    y = _to_cells(_band_pass(filled, config), config.cell_size)
    x = x - x.mean(axis=1, keepdims=True)
    y = y - y.mean(axis=1, keepdims=True)
    covariance = (x * y).mean(axis=1)  # (64,) gray levels squared
    std_product = np.sqrt((x * x).mean(axis=1) * (y * y).mean(axis=1))  # (64,)
    overlap = _to_cells(is_inside, config.cell_size).mean(axis=1)  # (64,) fraction of the pixels
    used = (overlap > config.min_cell_overlap) & (std_product > config.min_cell_contrast)
    correlations = np.full(len(used), np.nan, np.float32)
    correlations[used] = covariance[used] / std_product[used]
    return correlations


def _warp(
    thumbnail: npt.NDArray[np.uint8], affine: npt.NDArray[np.float64], config: NearDuplicateConfig
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Warp the second thumbnail onto the first one.

    Returns:
        Gray levels, negative outside of the second image, and a mask (0 or 1) of the pixels inside
        of it, without a margin: (128, 128) both.
    """
    # The translation (third column) is in pixels of a 256-pixel image.
    thumbnail_affine = affine * np.array([1, 1, config.thumbnail_size / REFERENCE_SIZE])
    # WARP_INVERSE_MAP: the map leads from the output (first image) to the input (second image).
    # The large negative value outside makes all interpolated pixels at the border negative.
    warped = cv2.warpAffine(
        thumbnail.astype(np.float32),
        thumbnail_affine,
        (config.thumbnail_size, config.thumbnail_size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderValue=-1e6,
    ).astype(np.float32, copy=False)
    is_inside = cv2.erode((warped >= 0).astype(np.uint8), _square(config.overlap_margin))
    return warped, is_inside.astype(np.uint8, copy=False)


def _band_pass(
    gray: npt.NDArray[np.float32], config: NearDuplicateConfig
) -> npt.NDArray[np.float32]:
    """Return the difference of two Gaussian blurs, which retains structure of a few pixels."""
    fine = cv2.GaussianBlur(gray, (0, 0), config.fine_blur)
    coarse = cv2.GaussianBlur(gray, (0, 0), config.coarse_blur)
    return (fine - coarse).astype(np.float32, copy=False)


def _to_cells(field: npt.NDArray, cell_size: int) -> npt.NDArray:
    """Divide a square field into cells: (128, 128) -> (64 cells, 256 pixels of a cell)."""
    cells = len(field) // cell_size  # cells in each row
    blocks = field.reshape(cells, cell_size, cells, cell_size)  # row, y in it, column, x in it
    return blocks.swapaxes(1, 2).reshape(cells * cells, cell_size * cell_size)


def align(
    a: LocalFeatures, b: LocalFeatures, config: NearDuplicateConfig, *, mirrored: bool
) -> Alignment | None:
    """Estimate the affine map from image a to image b by RANSAC.

    Args:
        a: Local features of the first image.
        b: Those of the second image.
        config: ``lowe_ratio``, the limits of the map, and the parameters of RANSAC.
        mirrored: Mirror the second image first.

    Returns:
        The map and its inliers, or None if there is no plausible map.
    """
    points_a = a.keypoints[:, :2]
    points_b = b.keypoints[:, :2]
    descriptors_b = b.descriptors
    if mirrored:
        # x -> 255 - x, y -> y; the descriptors are permuted.
        descriptors_b = descriptors_b[:, MIRRORED]
        sign = np.array([-1, 1], np.float32)
        points_b = np.array([REFERENCE_SIZE - 1, 0], np.float32) + points_b * sign
    i, j = _mutual_nearest_neighbors(a.descriptors, descriptors_b, config.lowe_ratio)
    if len(i) < config.min_inliers:
        return None
    affine, is_inlier = cv2.estimateAffine2D(
        points_a[i],
        points_b[j],
        method=cv2.RANSAC,
        ransacReprojThreshold=config.ransac_threshold,
        maxIters=config.ransac_iterations,
    )
    if affine is None or not _is_plausible(affine[:, :2], config):
        return None
    inlier = is_inlier.ravel() > 0  # (matches,)
    points = points_a[i][inlier]
    # Inliers in the same small square count once, because they are not independent.
    squares = np.unique(points // config.inlier_distance, axis=0)
    return Alignment(
        affine=np.asarray(affine, np.float64),
        points=points,
        matched_points=points_b[j][inlier],
        count=len(squares),
    )


def _mutual_nearest_neighbors(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], lowe_ratio: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Match descriptors that are mutual nearest neighbors and pass Lowe's ratio test.

    Args:
        a: (m, 128) descriptors of the first image.
        b: (k, 128) descriptors of the second image.
        lowe_ratio: Maximum ratio of the distances to the nearest and second nearest neighbor.

    Returns:
        Row numbers in a and in b: (matches,) both.

    Source:
        Lowe (2004), doi:10.1023/B:VISI.0000029664.99615.94, for the ratio test.
    """
    if len(a) < 2 or len(b) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    similarity = a.astype(np.float32) @ b.astype(np.float32).T  # (m, k)
    rows = np.arange(len(a))
    nearest = similarity.argmax(axis=1)  # (m,)
    is_mutual = similarity.argmax(axis=0)[nearest] == rows
    first = similarity[rows, nearest]
    similarity[rows, nearest] = -1  # so that the next maximum is the second nearest neighbor
    second = similarity.max(axis=1)
    # Squared distances from dot products: |x - y|² = 2 - 2 x·y for descriptors of norm 1.
    distance_ratio_is_small = 1 - first / DESCRIPTOR_NORM**2 < lowe_ratio**2 * (
        1 - second / DESCRIPTOR_NORM**2
    )
    matched = np.flatnonzero(is_mutual & distance_ratio_is_small)
    return matched, nearest[matched]


def _is_plausible(linear: npt.NDArray, config: NearDuplicateConfig) -> bool:
    """Return whether a linear map (2, 2) is a plausible edit: no mirroring, little zoom or shear.

    The singular values are the largest and the smallest scale factor of the map.
    """
    largest, smallest = np.linalg.svd(linear, compute_uv=False)
    preserves_orientation = np.linalg.det(linear) > 0
    is_in_range = smallest > config.min_scale and largest < config.max_scale
    return bool(
        preserves_orientation and is_in_range and largest < config.max_anisotropy * smallest
    )
