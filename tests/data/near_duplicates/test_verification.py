import numpy as np
import pytest

from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG
from skin_lesions.data.near_duplicates.features import LocalFeatures
from skin_lesions.data.near_duplicates.verification import align


def local_features(points, descriptors):
    size_and_angle = np.tile([8.0, 0.0], (len(points), 1))
    keypoints = np.hstack([points, size_and_angle]).astype(np.float32)
    return LocalFeatures(np.zeros(len(points), np.int64), keypoints, descriptors)


def aligned(linear):
    """Align 60 random keypoints with the same keypoints after a linear map."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 256, (60, 2))
    descriptors = np.sqrt(rng.dirichlet(np.full(128, 0.3), 60))
    descriptors = (512 * descriptors).clip(0, 255).astype(np.uint8)
    first = local_features(points, descriptors)
    second = local_features(points @ np.array(linear, float).T, descriptors)
    return align(first, second, DEFAULT_CONFIG, mirrored=False)


@pytest.mark.parametrize(
    ("linear", "plausible"),
    [
        ([[1, 0], [0, 1]], True),
        ([[1.5, 0], [0, 0.8]], True),
        ([[2.2, 0], [0, 0.9]], False),  # 2.4 times as wide as high
        ([[0.6, 0], [0, 1.5]], False),  # 2.5 times as high as wide
        ([[1, 1.2], [0, 1]], False),  # strong shear
        ([[2.4, 0], [0, 2.4]], True),
        ([[2.6, 0], [0, 2.6]], False),  # too large
        ([[0.45, 0], [0, 0.45]], True),
        ([[0.38, 0], [0, 0.38]], False),  # too small
        ([[-1, 0], [0, 1]], False),  # mirrored
    ],
)
def test_only_maps_with_little_zoom_and_shear_are_plausible(linear, plausible):
    alignment = aligned(linear)
    assert (alignment is not None) == plausible
    if alignment is not None:
        assert alignment.affine[:, :2] == pytest.approx(np.array(linear), abs=1e-3)
