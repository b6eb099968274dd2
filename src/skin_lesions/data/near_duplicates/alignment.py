"""Alignment: the affine map between two images, by matched local features and RANSAC."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.data.near_duplicates.config import NearDuplicateConfig
from skin_lesions.data.near_duplicates.features import DESCRIPTOR_NORM, MIRRORED, ImageFeatures


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
