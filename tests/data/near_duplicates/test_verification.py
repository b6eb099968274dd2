import numpy as np
import pytest

from skin_lesions.data.near_duplicates.alignment import align
from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG
from skin_lesions.data.near_duplicates.features import ImageFeatures
from skin_lesions.data.near_duplicates.verification import _structure


def features_at(points, descriptors):
    size_and_angle = np.tile([8.0, 0.0], (len(points), 1))
    return ImageFeatures(
        frame=np.array([256, 256], np.float32),
        keypoints=np.hstack([points, size_and_angle]).astype(np.float32),
        descriptors=descriptors,
        gray=np.zeros((256, 256), np.uint8),
    )


def aligned(linear, places=60):
    """Align 60 random keypoints with the same keypoints after a linear map."""
    rng = np.random.default_rng(0)
    points = np.tile(rng.uniform(0, 256, (places, 2)), (60 // places, 1))
    descriptors = np.sqrt(rng.dirichlet(np.full(128, 0.3), 60))
    descriptors = (512 * descriptors).clip(0, 255).astype(np.uint8)
    first = features_at(points, descriptors)
    second = features_at(points @ np.array(linear, float).T, descriptors)
    return align(first, second, DEFAULT_CONFIG, mirrored=False)


@pytest.mark.parametrize(
    ("linear", "plausible"),
    [
        ([[1, 0], [0, 1]], True),
        ([[2.2, 0], [0, 0.8]], True),
        ([[2.9, 0], [0, 0.9]], False),  # 3.2 times as wide as high
        ([[0.5, 0], [0, 1.7]], False),  # 3.4 times as high as wide
        ([[1, 1.5], [0, 1]], False),  # strong shear
        ([[5.8, 0], [0, 5.8]], True),
        ([[6.2, 0], [0, 6.2]], False),  # too large
        ([[0.17, 0], [0, 0.17]], True),
        ([[0.15, 0], [0, 0.15]], False),  # too small
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
