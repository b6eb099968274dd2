import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_lesions.core.errors import InputError
from skin_lesions.models.localization.lesions import Lesion, box_coverage, box_iou


@st.composite
def boxes(draw):
    corners = [sorted(draw(st.integers(0, 99)) for _ in range(2)) for _ in range(2)]
    (x0, x1), (y0, y1) = corners
    return np.array([x0, y0, x1 + 1, y1 + 1]) / 100


def pixels(box):
    x0, y0, x1, y1 = np.rint(box * 100).astype(int)
    mask = np.zeros((100, 100), bool)
    mask[y0:y1, x0:x1] = True
    return mask


@given(first=boxes(), second=boxes())
def test_iou_equals_that_of_the_pixels(first, second):
    one, other = pixels(first), pixels(second)
    expected = (one & other).sum() / (one | other).sum()
    assert box_iou(first, second) == pytest.approx(expected)


@given(box=boxes(), size=st.sampled_from([1, 4, 10, 25]))
def test_coverage_of_a_box_equals_the_mean_of_its_pixels(box, size):
    step = 100 // size
    expected = pixels(box).reshape(size, step, size, step).mean(axis=(1, 3))
    np.testing.assert_allclose(box_coverage(box, size), expected, atol=1e-6)


@given(box=boxes())
def test_mask_of_a_box_covers_the_same_cells_as_the_box(box):
    masked = Lesion(boxes=box[None], mask=pixels(box))
    np.testing.assert_allclose(masked.coverage(20), box_coverage(box, 20), atol=1e-5)


def test_coverage_of_two_boxes_is_their_union_and_the_main_box_is_the_largest():
    two = Lesion(boxes=np.array([[0, 0, 0.25, 0.25], [0.5, 0, 1, 1]]))
    assert two.coverage(4)[0].tolist() == [1, 0, 1, 1]
    assert two.coverage(4)[3].tolist() == [0, 0, 1, 1]
    assert two.main_box.tolist() == [0.5, 0, 1, 1]


@pytest.mark.parametrize(
    "box", [[0.5, 0, 0.5, 1], [0, 0.2, 1, 0.1], [0, 0, 200, 100], [-0.1, 0, 1, 1], [np.nan] * 4]
)
def test_invalid_box_is_rejected(box):
    with pytest.raises(InputError, match="Expected rows x0, y0, x1, y1"):
        Lesion(boxes=np.array([box], dtype=float))


def test_empty_mask_is_rejected():
    with pytest.raises(InputError, match="0 pixels inside"):
        Lesion(boxes=np.array([[0, 0, 1.0, 1.0]]), mask=np.zeros((5, 5), bool))
