import numpy as np
import pytest

from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG
from skin_lesions.data.near_duplicates.features import LocalFeatures
from skin_lesions.data.near_duplicates.verification import _structure, align


def local_features(points, descriptors):
    size_and_angle = np.tile([8.0, 0.0], (len(points), 1))
    keypoints = np.hstack([points, size_and_angle]).astype(np.float32)
    return LocalFeatures(np.zeros(len(points), np.int64), keypoints, descriptors)


def aligned(linear, places=60):
    """Align 60 random keypoints with the same keypoints after a linear map."""
    rng = np.random.default_rng(0)
    points = np.tile(rng.uniform(0, 256, (places, 2)), (60 // places, 1))
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


def test_inliers_at_one_place_count_once():
    alignment = aligned(np.eye(2), places=20)
    assert len(alignment.points) == 60
    assert alignment.count == 20


def test_pixels_near_a_dark_rim_are_not_compared():
    """The blur creates false structure at the rim, which is the same in many images."""
    size, margin = DEFAULT_CONFIG.structure_size, DEFAULT_CONFIG.structure_margin
    thumbnail = np.full((size, size), 150, np.uint8)
    thumbnail[:, :20] = 0
    _, valid = _structure(thumbnail, DEFAULT_CONFIG)
    first = 20 + DEFAULT_CONFIG.dark_margin - margin
    assert valid[:, first:].all()
    assert not valid[:, :first].any()
