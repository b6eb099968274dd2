"""Pair verification: align two images and compare them, to check that they show one photograph.

A pair is verified by structural correlation in one of eight poses, or by an affine map (Lowe
ratio test, RANSAC) with a sufficient correlation of the aligned thumbnails.
"""

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.data.near_duplicates.features import (
    DESCRIPTOR_NORM,
    MIRRORED,
    REFERENCE_SIZE,
    THUMBNAIL,
    Features,
)

Verdict = tuple[Literal["simple", "changed"], float]  # kind and strength
LocalFeatures = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]  # keypoints and descriptors

MIN_STRUCTURAL_CORRELATION = 0.9  # correlation (-1 to 1) of the structure of two thumbnails
MIN_INLIERS = 8  # keypoints at different positions that agree with one affine map
MIN_CELL_CORRELATION = 0.5  # median correlation (-1 to 1) over the cells of two aligned thumbnails
LOWE_RATIO = 0.85  # maximum ratio of the distances to the nearest and second nearest descriptor
RANSAC_THRESHOLD = 4.0  # maximum reprojection error of an inlier, pixels of a 256-pixel image
STRUCTURE_SIZE, MARGIN = 64, 8  # pixels: size of the structure image, and the border cut from it
CLIP_LEVEL = 8.0  # gray levels; one sharp line must not outweigh the structure of all the skin
DARK_LEVEL = 40  # gray levels; darker pixels are the rim of the dermatoscope, or empty
CELL = 16  # width and height of a cell, pixels of a thumbnail
MIN_CELLS = 12  # of 64 cells; with fewer, a caption that matches itself upside down would suffice


def verify_pair(features: Features, a: int, b: int) -> Verdict | None:
    """Return kind and strength of a near-duplicate pair, or None if the images differ.

    See ``find_near_duplicates`` for the kinds.
    """
    fixed, moving = features.thumbnail(a), features.thumbnail(b)
    correlation = _correlation_in_best_pose(fixed, moving)
    if correlation >= MIN_STRUCTURAL_CORRELATION:
        return "simple", correlation
    local_a, local_b = (features.local_features(image, image + 1)[1:] for image in (a, b))
    for mirrored in (False, True):
        inliers, affine = _ransac_inliers(local_a, local_b, mirrored)
        if inliers < MIN_INLIERS or affine is None:
            continue
        unmirrored = moving[:, ::-1] if mirrored else moving
        if _correlation_in_cells(fixed, unmirrored, affine) >= MIN_CELL_CORRELATION:
            return "changed", inliers / (inliers + 10)
    return None


def _correlation_in_best_pose(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Return the largest structural correlation of two thumbnails over the eight poses of b.

    The eight poses are the combinations of a flip and four quarter turns.
    """
    fixed, fixed_mask = _structure(a)
    moving, moving_mask = _structure(b)
    best = 0.0
    for axis in (1, -1):
        for turn in range(4):
            pose, pose_mask = (np.rot90(field[:, ::axis], turn) for field in (moving, moving_mask))
            both = fixed_mask & pose_mask
            best = max(best, _correlation(fixed[both], pose[both], fixed.size / 4))
    return best


def _correlation(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], min_pixels: float
) -> float:
    """Return the uncentered correlation of two vectors, (pixels,) both.

    It is 0 if one of them has no structure, or if they have fewer than ``min_pixels`` values.
    """
    energy_a, energy_b = float(a @ a), float(b @ b)
    # Less than one gray level per pixel is noise.
    if len(a) < min_pixels or min(energy_a, energy_b) < len(a):
        return 0.0
    return float(a @ b) / float(np.sqrt(energy_a * energy_b))


def _structure(thumbnail: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray]:
    """Return the local structure of a thumbnail without illumination, and a mask of valid pixels.

    The mask excludes pixels near the dark rim of the dermatoscope. The rim is the same in many
    images and has more contrast than anything on the skin.

    Returns:
        Structure in gray levels and mask: (48, 48) both.
    """
    gray = cv2.resize(
        thumbnail, (STRUCTURE_SIZE, STRUCTURE_SIZE), interpolation=cv2.INTER_AREA
    ).astype(np.float32)
    bright = (gray > DARK_LEVEL).astype(np.float32)
    # Local mean over bright pixels only: blur(gray * bright) / blur(bright). Otherwise dark
    # pixels would darken the mean of their neighbors.
    blurred = cv2.GaussianBlur(gray * bright, (0, 0), 4.0)
    detail = gray - blurred / np.maximum(cv2.GaussianBlur(bright, (0, 0), 4.0), np.float32(0.01))
    valid = cv2.erode(bright, np.ones((5, 5), np.uint8)) > 0
    # Pixels beyond the image border are unknown, so the blur creates false structure near it.
    inner = slice(MARGIN, -MARGIN)
    clipped = np.clip(detail, -CLIP_LEVEL, CLIP_LEVEL).astype(np.float32)
    return clipped[inner, inner], valid[inner, inner]


def _correlation_in_cells(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], affine: npt.NDArray[np.float64]
) -> float:
    """Align thumbnail b with a, correlate them in each cell, and return the median correlation.

    Some content is the same in many images: black corners of two rotated images, a rim, a ruler,
    or a caption. Its keypoints agree, and its cells correlate well, but these cells are few.
    """
    fixed = a.astype(np.float32)
    # The translation (third column) is in pixels of a 256-pixel image.
    thumbnail_affine = affine * np.array([1, 1, THUMBNAIL / REFERENCE_SIZE])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (THUMBNAIL, THUMBNAIL)
    # Pixels outside of b get a large negative value and are excluded, with a margin of 3 pixels.
    warped = cv2.warpAffine(
        b.astype(np.float32), thumbnail_affine, size, flags=flags, borderValue=-1e6
    )
    inside = cv2.erode((warped >= 0).astype(np.uint8), np.ones((7, 7), np.uint8))
    warped = np.where(warped >= 0, warped, fixed).astype(np.float32)
    # Difference of Gaussians: only structure of a few pixels is compared.
    detail = [
        cv2.GaussianBlur(field, (0, 0), 1.0) - cv2.GaussianBlur(field, (0, 0), 5.0)
        for field in (fixed, warped)
    ]
    # Pearson correlation of each cell: mean(x y) / (std(x) std(y)) of centered x and y.
    x, y = (_cells(field) for field in detail)  # (64, 256) both: cells, pixels of a cell
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    std_product = np.sqrt((x * x).mean(axis=1) * (y * y).mean(axis=1))  # (64,) gray levels squared
    # Only cells that are inside of both images and are not flat.
    used = (_cells(inside).mean(axis=1) > 0.9) & (std_product > 0.5)
    if used.sum() < MIN_CELLS:
        return 0.0
    return float(np.median((x * y).mean(axis=1)[used] / std_product[used]))


def _cells(field: npt.NDArray) -> npt.NDArray:
    """Divide a thumbnail into cells: (128, 128) -> (64 cells, 256 pixels of a cell)."""
    blocks = field.reshape(THUMBNAIL // CELL, CELL, THUMBNAIL // CELL, CELL)
    return blocks.swapaxes(1, 2).reshape(-1, CELL * CELL)


def _ransac_inliers(
    a: LocalFeatures, b: LocalFeatures, mirrored: bool
) -> tuple[int, npt.NDArray[np.float64] | None]:
    """Estimate the affine map from a to b by RANSAC.

    Args:
        a: Keypoints (m, 4) and descriptors (m, 128) of the first image.
        b: Those of the second image.
        mirrored: Mirror the second image first.

    Returns:
        The number of inliers, and the affine map (2, 3), or 0 and None if there is no plausible
        one.
    """
    points_a, points_b = a[0][:, :2], b[0][:, :2]
    descriptors_a, descriptors_b = a[1], b[1]
    if mirrored:
        # x -> 255 - x, y -> y; the descriptors are permuted.
        descriptors_b = descriptors_b[:, MIRRORED]
        points_b = np.array([REFERENCE_SIZE - 1, 0], np.float32) + points_b * np.array(
            [-1, 1], np.float32
        )
    i, j = _mutual_nearest_neighbors(descriptors_a, descriptors_b)
    if len(i) < MIN_INLIERS:
        return 0, None
    affine, is_inlier = cv2.estimateAffine2D(
        points_a[i],
        points_b[j],
        method=cv2.RANSAC,
        ransacReprojThreshold=RANSAC_THRESHOLD,
        maxIters=1000,
    )
    if affine is None or not _is_plausible(affine[:, :2]):
        return 0, None
    # Inliers in the same square of 2 x 2 pixels count once, because they are not independent.
    inliers = len(np.unique(points_a[i][is_inlier.ravel() > 0] // 2, axis=0))
    return inliers, np.asarray(affine, np.float64)


def _mutual_nearest_neighbors(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Match descriptors that are mutual nearest neighbors and pass Lowe's ratio test.

    Returns:
        Row numbers in a and in b: (matches,) both.
    """
    if len(a) < 2 or len(b) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    similarity = a.astype(np.float32) @ b.astype(np.float32).T  # (m of a, m of b)
    rows = np.arange(len(a))
    nearest = similarity.argmax(axis=1)
    is_mutual = similarity.argmax(axis=0)[nearest] == rows
    first = similarity[rows, nearest]
    similarity[rows, nearest] = -1
    second = similarity.max(axis=1)
    # Squared distances from dot products: |x - y|² = 2 - 2 x·y for descriptors of norm 1.
    passes = 1 - first / DESCRIPTOR_NORM**2 < LOWE_RATIO**2 * (1 - second / DESCRIPTOR_NORM**2)
    matched = np.flatnonzero(is_mutual & passes)
    return matched, nearest[matched]


def _is_plausible(linear: npt.NDArray) -> bool:
    """Return whether a linear map (2, 2) is a plausible edit: no mirroring, little zoom or shear.

    The singular values are the largest and the smallest scale factor of the map.
    """
    largest, smallest = np.linalg.svd(linear, compute_uv=False)
    preserves_orientation = np.linalg.det(linear) > 0
    return bool(
        preserves_orientation and largest < 2.5 and smallest > 0.4 and largest < 2 * smallest
    )
