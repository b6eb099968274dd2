import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_lesions.core.errors import InputError
from skin_lesions.models.localization.boxes import boxes_of_map, fit_threshold
from skin_lesions.models.localization.lesions import box_coverage, box_iou


def random_map(seed):
    coarse = np.random.default_rng(seed).random((4, 4))
    return np.kron(coarse, np.ones((4, 4))).astype(np.float32)


def blob(center, radius, height, side=28):
    """A cone: the probability falls linearly from the center."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    distance = np.hypot(x - center[0], y - center[1])
    return np.clip(height * (1.5 - distance / radius), 0, height).astype(np.float32)


def test_box_of_a_rectangle_is_the_rectangle():
    box = np.array([0.25, 0.5, 0.75, 0.875])
    found = boxes_of_map(box_coverage(box, 16) * 0.75, 0.375)
    np.testing.assert_allclose(found.boxes, [box], atol=1 / 64)
    assert 0.5 < found.scores[0] <= 0.75


def test_main_lesion_is_first_and_small_components_are_removed():
    speck = box_coverage([0, 0, 2 / 28, 2 / 28], 28)
    maps = blob((0.25, 0.25), 0.08, 1.0) + blob((0.7, 0.7), 0.2, 0.8) + speck
    found = boxes_of_map(maps, 0.4)
    centers = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    np.testing.assert_allclose(centers, [[0.7, 0.7], [0.25, 0.25]], atol=0.02)
    assert found.scores[0] > found.scores[1] > 0  # by mass: the other one is more certain


def test_map_below_the_threshold_gives_its_most_probable_region_with_a_low_score():
    found = boxes_of_map(blob((0.3, 0.6), 0.2, 0.1), 0.5)
    assert len(found.boxes) == 1
    assert box_iou(found.boxes[0], np.array([0.1, 0.4, 0.5, 0.8])) > 0.8
    assert found.scores[0] <= 0.1


def test_map_of_zeros_gives_the_complete_image_with_score_0():
    found = boxes_of_map(np.zeros((8, 8), np.float32), 0.5)
    assert found.boxes.tolist() == [[0, 0, 1, 1]]
    assert found.scores.tolist() == [0]


@given(seed=st.integers(0, 10**6), threshold=st.floats(0.1, 0.9))
def test_mirrored_map_has_mirrored_boxes_within_the_image(seed, threshold):
    found = boxes_of_map(random_map(seed), threshold)
    mirrored = boxes_of_map(random_map(seed)[:, ::-1].copy(), threshold)
    expected = found.boxes[:, [2, 1, 0, 3]]
    expected[:, [0, 2]] = 1 - expected[:, [0, 2]]
    np.testing.assert_allclose(sorted(mirrored.boxes.tolist()), sorted(expected.tolist()))
    assert (found.boxes >= 0).all()
    assert (found.boxes <= 1).all()
    assert (found.boxes[:, :2] < found.boxes[:, 2:]).all()


@pytest.mark.parametrize("level", [0.2, 0.4, 0.6, 0.8])
def test_fitted_threshold_is_the_one_that_gave_the_boxes(level):
    rng = np.random.default_rng(0)
    maps = [blob(rng.uniform(0.4, 0.6, 2), rng.uniform(0.1, 0.3), 1.0) for _ in range(20)]
    boxes = np.stack([boxes_of_map(probabilities, level).boxes[0] for probabilities in maps])
    assert fit_threshold(maps, boxes) == pytest.approx(level)


def test_threshold_requires_an_annotated_image():
    with pytest.raises(InputError, match="no annotated image"):
        fit_threshold([], np.zeros((0, 4)))
