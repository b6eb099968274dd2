"""Pair verification: align two images and compare them, to check that they show one photograph.

A pair is verified by structural correlation in one of eight poses, or by an affine map (Lowe
ratio test, RANSAC) with a sufficient correlation of the aligned thumbnails.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.data.near_duplicates.config import NearDuplicateConfig
from skin_lesions.data.near_duplicates.features import (
    DESCRIPTOR_NORM,
    MIRRORED,
    ImageFeatures,
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
    reference pixels. ``count`` is the number of independent inliers.
    """

    affine: npt.NDArray[np.float64]
    points: npt.NDArray[np.float32]
    matched_points: npt.NDArray[np.float32]
    count: int


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
                correlation = _correlation(fixed[both], turned[both], config.min_contrast)
                if correlation > best.correlation:
                    best = Pose(correlation, flipped, turns)
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
    detail = gray - _local_mean(gray, bright, config.structure_blur)
    clipped = np.clip(detail, -config.clip_level, config.clip_level).astype(np.float32)
    valid = cv2.erode(bright, _square(config.dark_margin)) > 0
    # Pixels beyond the image border are unknown, so the blur creates false structure near it.
    inner = slice(config.structure_margin, -config.structure_margin)
    return clipped[inner, inner], valid[inner, inner]


def _square(margin: int) -> npt.NDArray[np.uint8]:
    """Return a structuring element that erodes a mask by ``margin`` pixels on each side."""
    return np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)


@dataclass(frozen=True)
class Overlap:
    """Comparison of the common part of two aligned images, cell by cell.

    ``correlations``: (cells,) Pearson correlation of each cell. NaN: the cell is not inside of both
    images, or one of them is flat there. ``texture``: the same without lines and edges. ``coarse``:
    correlation of the coarse structure, such as the shape of a lesion, in the complete overlap.
    ``num_cells``: number of cells inside of both images, flat or not.
    """

    correlations: npt.NDArray[np.float32]
    texture: npt.NDArray[np.float32]
    coarse: float
    num_cells: int

    @property
    def is_flat(self) -> bool:
        """Whether no cell can be compared."""
        return bool(np.isnan(self.correlations).all())

    def is_equal(self, config: NearDuplicateConfig) -> bool:
        """Return whether both images show the same in most of the cells.

        Lines and edges of an overlay, such as hair, a ruler or a rim, are not sufficient. Either
        the texture between them must be equal too, and only few cells may be flat. Or the coarse
        structure must be equal. Noise reduces the correlation of the texture, but not that of the
        coarse structure.
        """
        used = self.correlations[~np.isnan(self.correlations)]
        if len(used) < config.min_cells:
            return False
        texture = self.texture[~np.isnan(self.texture)]
        median = float(np.median(used))
        median_texture = float(np.median(texture)) if len(texture) else 0.0
        has_equal_texture = (
            len(texture) >= config.min_textured_fraction * self.num_cells
            and median >= config.min_cell_correlation
            and median_texture >= config.min_texture_correlation
        )
        has_equal_structure = (
            median >= config.min_noisy_cell_correlation
            and self.coarse >= config.min_coarse_correlation
        )
        return has_equal_texture or has_equal_structure


def compare_overlap(
    a: ImageFeatures,
    b: ImageFeatures,
    affine: npt.NDArray[np.float64],
    config: NearDuplicateConfig,
    *,
    mirrored: bool,
) -> Overlap:
    """Align the two images and correlate them in each cell of the coarser one.

    Some content is the same in many images: black corners of two rotated images, a rim, a ruler,
    a caption, a watermark, hair. Its keypoints agree, and its cells correlate well. But either
    these cells are few, or only their lines and edges correlate, and not the skin between them.

    Args:
        a: Features of the first image.
        b: Features of the second image.
        affine: (2, 3) map from the first to the second image, reference pixels.
        config: Sizes and limits of the cells.
        mirrored: The map leads to the mirrored second image.
    """
    image_a = a.gray.astype(np.float32)
    image_b = (b.gray[:, ::-1] if mirrored else b.gray).astype(np.float32)
    # (3, 3) map between the squares: gray pixels of a -> reference pixels -> gray pixels of b.
    to_b = (
        np.linalg.inv(_gray_to_reference(b.frame, len(b.gray)))
        @ np.vstack([affine, [0, 0, 1]])
        @ _gray_to_reference(a.frame, len(a.gray))
    )
    magnification = float(np.sqrt(abs(np.linalg.det(to_b))))  # gray pixels of b per pixel of a
    # The finer image is warped onto the coarser one.
    if magnification >= 1:
        fixed = image_a
        warped, is_inside = _warp(image_b, to_b, magnification, config)
    else:
        fixed = image_b
        warped, is_inside = _warp(image_a, np.linalg.inv(to_b), 1 / magnification, config)
    # Pixels outside of the other image get the value of the fixed one, so that the filter creates
    # no edges there.
    filled = np.where(is_inside > 0, warped, fixed).astype(np.float32)
    everything = np.ones_like(fixed)
    x = _band_pass(fixed, None, config)
    y = _band_pass(filled, None, config)
    inside = _to_cells(is_inside, config.cell_size).mean(axis=1)  # (cells,) fraction of the pixels
    is_common = inside >= config.min_cell_overlap
    cells = _cell_correlations(x, y, everything, config.min_cell_contrast, config)
    cells[~is_common] = np.nan
    num_cells = int(is_common.sum())
    used = cells[~np.isnan(cells)]
    if len(used) == 0 or np.median(used) < config.min_noisy_cell_correlation:
        # Different images: the rest, which takes most of the time, would not change the verdict.
        return Overlap(cells, np.full_like(cells, np.nan), 0.0, num_cells)
    # Lines also change the band-pass of the pixels around them. They are therefore left out before.
    skin = _texture_mask(fixed, filled, is_inside, config)
    texture = _cell_correlations(
        _band_pass(fixed, skin, config),
        _band_pass(filled, skin, config),
        skin,
        config.min_texture_contrast,
        config,
    )
    texture[np.isnan(cells)] = np.nan
    coarse = _coarse_correlation(fixed, filled, skin, config)
    return Overlap(cells, texture, coarse, num_cells)


def _gray_to_reference(frame: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float64]:
    """Return the (3, 3) map from pixel indices of a gray square to reference pixels.

    The center of pixel i is at (i + 0.5) * width / size.
    """
    scale_x, scale_y = frame.astype(np.float64) / size
    return np.array([[scale_x, 0, scale_x / 2], [0, scale_y, scale_y / 2], [0, 0, 1]])


def _warp(
    moving: npt.NDArray[np.float32],
    affine: npt.NDArray[np.float64],
    magnification: float,
    config: NearDuplicateConfig,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Warp the finer image onto the coarser one.

    Returns:
        Gray levels, negative outside of the finer image, and a mask (0 or 1) of the pixels inside
        of it, without a margin: (G, G) both.
    """
    if magnification > 1:
        # Antialiasing: reduce the finer image to the resolution of the coarser one.
        sigma = 0.5 * float(np.sqrt(magnification**2 - 1))
        moving = cv2.GaussianBlur(moving, (0, 0), max(sigma, 0.1)).astype(np.float32, copy=False)
    # WARP_INVERSE_MAP: the map leads from the output (coarser) to the input (finer image). The
    # large negative value outside makes all interpolated pixels at the border negative.
    warped = cv2.warpAffine(
        moving,
        affine[:2],
        moving.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderValue=-1e6,
    ).astype(np.float32, copy=False)
    is_inside = cv2.erode((warped >= 0).astype(np.uint8), _square(config.overlap_margin))
    return warped, is_inside.astype(np.uint8, copy=False)


def _band_pass(
    gray: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32] | None,
    config: NearDuplicateConfig,
) -> npt.NDArray[np.float32]:
    """Return the difference of two Gaussian means, which retains structure of a few pixels.

    Only pixels with weight 1 count; None: all pixels.
    """
    fine = _local_mean(gray, weight, config.fine_blur)
    coarse = _local_mean(gray, weight, config.coarse_blur)
    return np.asarray(fine - coarse, np.float32)


def _texture_mask(
    fixed: npt.NDArray[np.float32],
    moving: npt.NDArray[np.float32],
    is_inside: npt.NDArray[np.uint8],
    config: NearDuplicateConfig,
) -> npt.NDArray[np.float32]:
    """Return 1 for pixels without lines and edges in both aligned images, otherwise 0: (G, G).

    Lines and edges have more contrast than ``texture_contrast`` times the lower quartile, which
    still belongs to the texture if an overlay covers half of the image. Strong lines raise it, so
    the search is repeated without the lines that are known.
    """
    mask = is_inside.astype(np.float32)
    is_line = np.zeros(mask.shape, bool)
    for _ in range(config.line_passes):
        inside = mask > 0
        if not inside.any():
            break
        for image in (fixed, moving):
            contrast = np.abs(_band_pass(image, mask, config))
            limit = config.texture_contrast * float(np.quantile(contrast[inside], 0.25))
            is_line |= inside & (contrast > limit)
        near_line = cv2.dilate(is_line.astype(np.uint8), _square(config.line_margin)) > 0
        mask = np.where(near_line, np.float32(0), mask).astype(np.float32)
    return mask


def _cell_correlations(
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    min_contrast: float,
    config: NearDuplicateConfig,
) -> npt.NDArray[np.float32]:
    """Return the Pearson correlation of the pixels with weight 1 in each cell: (cells,).

    It is mean(x y) / (std(x) std(y)) of centered x and y; NaN if too few pixels have weight 1, or
    an image is flat.
    """
    # (cells, pixels of a cell) each.
    x_cells = _to_cells(x, config.cell_size)
    y_cells = _to_cells(y, config.cell_size)
    weights = _to_cells(weight, config.cell_size)
    n = np.maximum(weights.sum(axis=1, keepdims=True), 1)  # (cells, 1)
    x_centered = (x_cells - (x_cells * weights).sum(axis=1, keepdims=True) / n) * weights
    y_centered = (y_cells - (y_cells * weights).sum(axis=1, keepdims=True) / n) * weights
    n = n[:, 0]
    covariance = (x_centered * y_centered).sum(axis=1) / n  # gray levels squared
    std_product = np.sqrt((x_centered**2).sum(axis=1) / n * ((y_centered**2).sum(axis=1) / n))
    has_pixels = n >= config.min_texture_fraction * config.cell_size**2
    used = has_pixels & (std_product > min_contrast)
    correlations = np.full(len(n), np.nan, np.float32)
    correlations[used] = covariance[used] / std_product[used]
    return correlations


def _coarse_correlation(
    fixed: npt.NDArray[np.float32],
    moving: npt.NDArray[np.float32],
    skin: npt.NDArray[np.float32],
    config: NearDuplicateConfig,
) -> float:
    """Return the correlation of the coarse structure of two aligned images where ``skin`` is 1.

    The dark rim of the dermatoscope is left out, as in ``_structure``.
    """
    size = (config.structure_size, config.structure_size)
    fraction = cv2.resize(skin, size, interpolation=cv2.INTER_AREA)  # of each structure pixel
    valid = fraction >= config.min_skin_fraction
    details = []
    for image in (fixed, moving):
        # The mean gray level of the skin in each structure pixel.
        total = cv2.resize(image * skin, size, interpolation=cv2.INTER_AREA)
        small = np.asarray(total / np.maximum(fraction, 0.01), np.float32)
        bright = ((small > config.dark_level) | (fraction < config.min_skin_fraction)).astype(
            np.float32
        )
        weight = np.asarray(bright * (fraction >= config.min_skin_fraction), np.float32)
        fine = _local_mean(small, weight, config.coarse_fine_blur)
        coarse = _local_mean(small, weight, config.coarse_coarse_blur)
        details.append(np.asarray(fine - coarse, np.float32))
        valid &= cv2.erode(bright, _square(config.dark_margin)) > 0
    if valid.sum() < config.min_cells:
        return 0.0
    centered = []
    for detail in details:
        clipped = np.clip(detail, -config.clip_level, config.clip_level)[valid]
        centered.append((clipped - clipped.mean()).astype(np.float32))
    return _correlation(centered[0], centered[1], config.min_coarse_contrast)


def _local_mean(
    gray: npt.NDArray[np.float32], weight: npt.NDArray[np.float32] | None, sigma: float
) -> npt.NDArray[np.float32]:
    """Return the Gaussian mean over the pixels with weight 1: blur(gray w) / blur(w).

    Otherwise, dark pixels would darken the mean of their neighbors. None: all pixels count.
    """
    if weight is None:
        return cv2.GaussianBlur(gray, (0, 0), sigma).astype(np.float32, copy=False)
    total = cv2.GaussianBlur(gray * weight, (0, 0), sigma)
    mean = total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), np.float32(0.01))
    return mean.astype(np.float32, copy=False)


def _to_cells(field: npt.NDArray, cell_size: int) -> npt.NDArray:
    """Divide a square field into cells: (256, 256) -> (256 cells, 256 pixels of a cell)."""
    cells = len(field) // cell_size  # cells in each row
    blocks = field.reshape(cells, cell_size, cells, cell_size)  # row, y in it, column, x in it
    return blocks.swapaxes(1, 2).reshape(cells * cells, cell_size * cell_size)


def align(
    a: ImageFeatures, b: ImageFeatures, config: NearDuplicateConfig, *, mirrored: bool
) -> Alignment | None:
    """Estimate the affine map from image a to image b by RANSAC.

    Args:
        a: Features of the first image.
        b: Features of the second image.
        config: ``lowe_ratio``, the limits of the map, and the parameters of RANSAC.
        mirrored: Mirror the second image first.

    Returns:
        The map and its inliers, or None if there is no plausible map.
    """
    points_a = a.keypoints[:, :2]
    points_b = b.keypoints[:, :2]
    descriptors_b = b.descriptors
    if mirrored:
        # x -> width - x, y -> y; the descriptors are permuted.
        descriptors_b = descriptors_b[:, MIRRORED]
        sign = np.array([-1, 1], np.float32)
        points_b = np.array([b.frame[0], 0], np.float32) + points_b * sign
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
    matched_points = points_b[j][inlier]
    # Inliers in the same small square of either image count once: they are not independent.
    counts = [
        len(np.unique(positions // config.inlier_distance, axis=0))
        for positions in (points, matched_points)
    ]
    return Alignment(
        affine=np.asarray(affine, np.float64),
        points=points,
        matched_points=matched_points,
        count=min(counts),
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
