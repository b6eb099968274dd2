"""Do two images show one photograph? One is laid on the other."""

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

Verdict = tuple[Literal["simple", "changed"], float]
LocalFeatures = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]  # keypoints and descriptors

SAME_STRUCTURE = 0.9  # correlation of two small thumbnails
MIN_INLIERS = 8  # keypoints
MIN_CELL_CORRELATION = 0.5  # median correlation of the cells of two thumbnails
LOWE_RATIO = 0.85  # of the distances to the nearest and the second nearest descriptor
RANSAC_THRESHOLD = 4.0  # pixels of 256 by which an agreeing keypoint may miss its place
SMALL, EDGE = 64, 8  # pixels of a small thumbnail and of its edge
CLIP_LEVEL = 8.0  # grey levels; one sharp line must not outweigh all the skin
DARK_LEVEL = 40  # grey levels; darker is the rim of the dermatoscope, or nothing
CELL = 16  # pixels of a thumbnail
MIN_CELLS = 12  # of 64: with less in common, a caption laid on itself upside down would do


def verify_pair(features: Features, a: int, b: int) -> Verdict | None:
    """Return kind and strength (see ``find_near_duplicates``) if b is a copy of a, else None."""
    still, moved = features.thumbnail(a), features.thumbnail(b)
    correlation = _correlation_in_best_pose(still, moved)
    if correlation >= SAME_STRUCTURE:
        return "simple", correlation
    one, other = (features.local_features(image, image + 1)[1:] for image in (a, b))
    for mirrored in (False, True):
        agreeing, affine = _ransac_inliers(one, other, mirrored)
        if agreeing < MIN_INLIERS or affine is None:
            continue
        mate = moved[:, ::-1] if mirrored else moved
        if _correlation_in_cells(still, mate, affine) >= MIN_CELL_CORRELATION:
            return "changed", agreeing / (agreeing + 10)
    return None


def _correlation_in_best_pose(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Correlate the structure of two thumbnails, b flipped and turned in all eight ways."""
    still, lit = _structure(a)
    moved, lit_moved = _structure(b)
    best = 0.0
    for axis in (1, -1):
        for turn in range(4):
            pose, lit_pose = (np.rot90(field[:, ::axis], turn) for field in (moved, lit_moved))
            both = lit & lit_pose
            best = max(best, _correlation(still[both], pose[both], still.size / 4))
    return best


def _correlation(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], least: float) -> float:
    """Correlate two fields about zero; 0 if one is flat or smaller than ``least`` pixels."""
    energy_a, energy_b = float(a @ a), float(b @ b)
    # Less than a grey level a pixel is noise.
    if len(a) < least or min(energy_a, energy_b) < len(a):
        return 0.0
    return float(a @ b) / float(np.sqrt(energy_a * energy_b))


def _structure(thumbnail: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray]:
    """Return what is left without light and shadow, and where it is not ruled by a dark rim.

    The rim of the dermatoscope is the same in many pictures, and stronger than anything on skin.
    """
    grey = cv2.resize(thumbnail, (SMALL, SMALL), interpolation=cv2.INTER_AREA).astype(np.float32)
    lit = (grey > DARK_LEVEL).astype(np.float32)
    # The mean of what is lit around each pixel: else the dark would darken its neighbours.
    around = cv2.GaussianBlur(grey * lit, (0, 0), 4.0)
    fine = grey - around / np.maximum(cv2.GaussianBlur(lit, (0, 0), 4.0), np.float32(0.01))
    inside = cv2.erode(lit, np.ones((5, 5), np.uint8)) > 0
    # Beyond the edge nothing is known, so blurring makes structure there that is none.
    inner = slice(EDGE, -EDGE)
    clipped = np.clip(fine, -CLIP_LEVEL, CLIP_LEVEL).astype(np.float32)
    return clipped[inner, inner], inside[inner, inner]


def _correlation_in_cells(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], affine: npt.NDArray[np.float64]
) -> float:
    """Lay b on a, correlate them in each cell for itself, and return the median.

    Black corners that two turned pictures have in common, a rim, a ruler or a caption make keypoints
    agree and even correlate well, but only in the few cells where they lie.
    """
    still = a.astype(np.float32)
    to_thumbnail = affine * np.array([1, 1, THUMBNAIL / REFERENCE_SIZE])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    side = (THUMBNAIL, THUMBNAIL)
    moved = cv2.warpAffine(b.astype(np.float32), to_thumbnail, side, flags=how, borderValue=-1e6)
    known = cv2.erode((moved >= 0).astype(np.uint8), np.ones((7, 7), np.uint8))
    moved = np.where(moved >= 0, moved, still).astype(np.float32)
    fine = [
        cv2.GaussianBlur(field, (0, 0), 1.0) - cv2.GaussianBlur(field, (0, 0), 5.0)
        for field in (still, moved)
    ]
    x, y = (_cell_means(field) for field in fine)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    spread = np.sqrt((x * x).mean(axis=1) * (y * y).mean(axis=1))
    used = (_cell_means(known).mean(axis=1) > 0.9) & (spread > 0.5)
    if used.sum() < MIN_CELLS:
        return 0.0
    return float(np.median((x * y).mean(axis=1)[used] / spread[used]))


def _cell_means(field: npt.NDArray) -> npt.NDArray:
    """Cut a thumbnail into cells: (cells, pixels of a cell)."""
    cut = field.reshape(THUMBNAIL // CELL, CELL, THUMBNAIL // CELL, CELL)
    return cut.swapaxes(1, 2).reshape(-1, CELL * CELL)


def _ransac_inliers(
    a: LocalFeatures, b: LocalFeatures, mirrored: bool
) -> tuple[int, npt.NDArray[np.float64] | None]:
    """Count the keypoints of a that one affine map takes to their mates in b; return the map too."""
    places_a, places_b = a[0][:, :2], b[0][:, :2]
    described_a, described_b = a[1], b[1]
    if mirrored:
        described_b = described_b[:, MIRRORED]
        places_b = np.array([REFERENCE_SIZE - 1, 0], np.float32) + places_b * np.array(
            [-1, 1], np.float32
        )
    i, j = _mutual_nearest_neighbors(described_a, described_b)
    if len(i) < MIN_INLIERS:
        return 0, None
    affine, agree = cv2.estimateAffine2D(
        places_a[i],
        places_b[j],
        method=cv2.RANSAC,
        ransacReprojThreshold=RANSAC_THRESHOLD,
        maxIters=1000,
    )
    if affine is None or not _is_plausible(affine[:, :2]):
        return 0, None
    # Several keypoints on one spot are one piece of evidence.
    agreeing = len(np.unique(places_a[i][agree.ravel() > 0] // 2, axis=0))
    return agreeing, np.asarray(affine, np.float64)


def _mutual_nearest_neighbors(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pair descriptors that are each other's nearest, and much nearer than the second nearest."""
    if len(a) < 2 or len(b) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    similar = a.astype(np.float32) @ b.astype(np.float32).T
    rows = np.arange(len(a))
    nearest = similar.argmax(axis=1)
    mutual = similar.argmax(axis=0)[nearest] == rows
    first = similar[rows, nearest]
    similar[rows, nearest] = -1
    second = similar.max(axis=1)
    # Distances from products: |x - y|² = 2 - 2 x·y for descriptors of length 1.
    clear = 1 - first / DESCRIPTOR_NORM**2 < LOWE_RATIO**2 * (1 - second / DESCRIPTOR_NORM**2)
    kept = np.flatnonzero(mutual & clear)
    return kept, nearest[kept]


def _is_plausible(linear: npt.NDArray) -> bool:
    """Tell whether someone may have changed a picture so: no mirror, no squeeze, little zoom."""
    largest, smallest = np.linalg.svd(linear, compute_uv=False)
    upright = np.linalg.det(linear) > 0
    return bool(upright and largest < 2.5 and smallest > 0.4 and largest < 2 * smallest)
