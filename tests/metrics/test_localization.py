"""Overlap and average precision against pycocotools and slow definitions, and intervals."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pycocotools.mask import iou as coco_iou
from scipy import stats
from sklearn.metrics import jaccard_score

from skin_lesions.metrics.localization import (
    COCO_THRESHOLDS,
    ImageBoxes,
    average_precisions,
    box_iou,
    mask_iou,
    mean_gain,
    mean_of_images,
    thresholded_jaccard,
    top_box_iou,
)


def random_boxes(rng, n, size=20):
    """Boxes with integer corners, so that equal IoUs and IoUs at a threshold occur."""
    start = rng.integers(0, size, (n, 2))
    return np.hstack([start, start + rng.integers(1, size, (n, 2))]).astype(float)


def near(rng, boxes):
    """Boxes close to others, with sides of at least 1."""
    moved = boxes + rng.choice([-1, 0, 0, 0, 1], boxes.shape)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    return moved


def random_image(rng, most_true=4, most_false=6):
    true = random_boxes(rng, rng.integers(0, most_true + 1))
    predicted = np.vstack(
        [
            near(rng, true[rng.random(len(true)) < 0.8]),
            near(rng, true[rng.random(len(true)) < 0.4]),
            random_boxes(rng, rng.integers(0, most_false + 1)),
        ]
    )
    scores = rng.integers(0, 12, len(predicted)) / 11  # few values, so that scores tie
    return ImageBoxes(predicted=predicted, scores=scores, true=true)


def coco_precisions(images):
    """Return the average precision of pycocotools for each threshold."""

    def entry(number, corners):
        x0, y0, x1, y1 = corners.tolist()
        box = [x0, y0, x1 - x0, y1 - y0]
        return {"image_id": number, "category_id": 1, "bbox": box, "area": box[2] * box[3]}

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        annotations = [entry(i, box) for i, image in enumerate(images) for box in image.true]
        truth.dataset = {
            "images": [{"id": i} for i in range(len(images))],
            "categories": [{"id": 1}],
            # The id 0 means "not matched" in pycocotools.
            "annotations": [a | {"id": i, "iscrowd": 0} for i, a in enumerate(annotations, 1)],
        }
        truth.createIndex()
        predicted = [
            entry(i, box) | {"score": score}
            for i, image in enumerate(images)
            for box, score in zip(image.predicted, image.scores, strict=True)
        ]
        evaluation = COCOeval(truth, truth.loadRes(predicted), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # (thresholds, recalls, categories, areas, numbers of boxes)
    return evaluation.eval["precision"][:, :, 0, 0, -1].mean(axis=1)


@pytest.mark.parametrize("seed", range(12))
def test_average_precision_is_that_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    images = [random_image(rng) for _ in range(30)]
    expected = coco_precisions(images)
    found = average_precisions(images)
    assert found == pytest.approx(expected, abs=1e-9)
    assert found.mean() == pytest.approx(expected.mean(), abs=1e-9)
    assert 0 < found[-1] < found[0] < 1


def test_at_most_a_hundred_boxes_of_an_image_count():
    rng = np.random.default_rng(0)
    images = [random_image(rng, most_true=8, most_false=400) for _ in range(5)]
    assert max(len(image.predicted) for image in images) > 200
    assert average_precisions(images) == pytest.approx(coco_precisions(images), abs=1e-9)


@pytest.mark.parametrize(("order", "expected"), [([0, 1], 1.0), ([1, 0], 51 / 101)])
def test_box_with_two_equal_overlaps_is_matched_as_by_pycocotools(order, expected):
    true = np.array([[0, 0, 10, 10], [4, 0, 14, 10]], float)
    predicted = np.array([[2, 0, 12, 10], [0, 0, 10, 10]], float)  # the first: IoU 2/3 with both
    image = ImageBoxes(predicted=predicted, scores=np.array([0.9, 0.8]), true=true[order])
    assert coco_precisions([image])[0] == pytest.approx(expected)
    assert average_precisions([image])[0] == pytest.approx(expected)


def test_average_precision_of_perfect_and_of_absent_boxes():
    true = np.array([[0, 0, 1, 1], [1, 1, 3, 2]], float)
    perfect = ImageBoxes(predicted=true, scores=np.array([0.1, 0.9]), true=true)
    absent = ImageBoxes(predicted=np.zeros((0, 4)), scores=np.zeros(0), true=true)
    assert average_precisions([perfect]) == pytest.approx(np.ones(10))
    assert average_precisions([absent]) == pytest.approx(np.zeros(10))
    # Recall 0.5 at precision 1: 51 of 101 recalls.
    assert average_precisions([perfect, absent], [0.5]) == pytest.approx([51 / 101])


def test_second_box_of_one_lesion_is_wrong():
    true = np.array([[0, 0, 10, 10]], float)
    twice = ImageBoxes(predicted=np.vstack([true, true]), scores=np.array([0.9, 0.8]), true=true)
    other = ImageBoxes(predicted=true, scores=np.array([0.1]), true=true)
    # Precision 1 up to recall 0.5 (51 recalls), then 2 of 3 boxes are right.
    assert average_precisions([twice, other], [0.5]) == pytest.approx([(51 + 50 * 2 / 3) / 101])


def test_average_precision_without_a_true_box_is_rejected():
    image = ImageBoxes(predicted=np.ones((1, 4)), scores=np.ones(1), true=np.zeros((0, 4)))
    with pytest.raises(ValueError, match="without a true box"):
        average_precisions([image])


@pytest.mark.parametrize("scores", [np.ones(2), np.array([np.nan])])
def test_scores_must_be_finite_and_one_for_each_box(scores):
    with pytest.raises(ValueError, match="one finite score"):
        ImageBoxes(predicted=np.ones((1, 4)), scores=scores, true=np.ones((1, 4)))


def test_thresholds_are_those_of_coco():
    assert np.allclose(COCO_THRESHOLDS, np.arange(10) * 0.05 + 0.5)


def test_iou_of_all_pairs_is_that_of_pycocotools():
    rng = np.random.default_rng(1)
    a, b = random_boxes(rng, 40), random_boxes(rng, 30)
    sides = [np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]) for boxes in (a, b)]
    expected = coco_iou(*sides, [False] * 30)
    assert box_iou(a, b) == pytest.approx(expected, abs=1e-12)
    assert box_iou(a / 40, b / 40) == pytest.approx(expected, abs=1e-12)  # any unit
    assert 0 < np.count_nonzero(expected) < expected.size


def test_iou_of_boxes_without_an_area_is_0():
    assert box_iou([[1, 1, 1, 1]], [[1, 1, 1, 1], [0, 0, 2, 2]]).tolist() == [[0, 0]]


@pytest.mark.parametrize("boxes", [[[1, 0, 0, 1]], [[0, 0, np.nan, 1]], [0, 0, 1, 1], [[0, 1, 2]]])
def test_invalid_boxes_are_rejected(boxes):
    with pytest.raises(ValueError, match="Invalid boxes"):
        box_iou(boxes, [[0, 0, 1, 1]])


def test_iou_of_an_image_is_that_of_its_highest_score_with_the_best_true_box():
    true = np.array([[0, 0, 1, 1], [10, 10, 12, 12]], float)
    predicted = np.array([[0, 0, 1, 1], [10, 10, 12, 11], [10, 10, 12, 12]], float)
    image = ImageBoxes(predicted=predicted, scores=np.array([0.2, 0.9, 0.9]), true=true)
    assert top_box_iou(image) == pytest.approx(0.5)
    assert top_box_iou(ImageBoxes(predicted=predicted[:0], scores=np.zeros(0), true=true)) == 0.0
    assert top_box_iou(ImageBoxes(predicted=true, scores=np.ones(2), true=true[:0])) == 0.0


def test_iou_of_masks_is_the_jaccard_index_of_scikit_learn():
    rng = np.random.default_rng(2)
    a, b = rng.random((2, 9, 7)) < 0.4
    assert mask_iou(a, b) == pytest.approx(jaccard_score(a.ravel(), b.ravel()))
    assert mask_iou(a, np.zeros_like(a)) == 0.0
    with pytest.raises(ValueError, match="without a pixel"):
        mask_iou(a & ~a, b & ~b)
    with pytest.raises(ValueError, match="cannot be compared"):
        mask_iou(a, b[1:])
    with pytest.raises(ValueError, match="cannot be compared"):
        mask_iou(a.astype(float), b)


def test_jaccard_index_below_the_threshold_counts_as_0():
    assert thresholded_jaccard([0.0, 0.64, 0.65, 0.9]).tolist() == [0.0, 0.0, 0.65, 0.9]
    assert thresholded_jaccard([0.5, 0.9], threshold=0.8).tolist() == [0.0, 0.9]


def skewed_ious(rng, groups):
    """IoUs of two methods on images of groups of 1 to 4; most are high, and 8 % are 0."""
    group = np.repeat(np.arange(groups), rng.integers(1, 5, groups))
    of_groups, own = rng.normal(size=groups)[group], rng.normal(size=group.size)
    difficulty = np.sqrt(0.5) * (of_groups + own)
    rank = stats.norm.cdf(difficulty)
    iou = np.where(rank < 0.08, 0.0, stats.beta.ppf(np.maximum(rank - 0.08, 0) / 0.92, 8, 1.5))
    other = stats.norm.cdf(0.6 * difficulty + 0.8 * rng.normal(size=group.size))
    return group, stats.beta.ppf(other, 3, 2), iou


def test_intervals_of_49_groups_contain_the_true_mean_and_gain():
    """300 replications with a fixed seed; the standard error of a coverage of 95 % is 1.3 %."""
    rng = np.random.default_rng(3)
    _, baseline, iou = skewed_ious(rng, 100_000)
    truth = {"mean": iou.mean(), "gain": (iou - baseline).mean()}
    covered = dict.fromkeys(truth, 0)
    for _ in range(300):
        group, baseline, iou = skewed_ious(rng, 49)
        found = {"mean": mean_of_images(iou, group), "gain": mean_gain(baseline, iou, group)}
        for name, estimate in found.items():
            covered[name] += estimate.low <= truth[name] <= estimate.high
    assert all(0.92 <= count / 300 <= 0.99 for count in covered.values()), covered


def test_interval_takes_groups_and_pairs_into_account():
    rng = np.random.default_rng(4)
    iou = rng.beta(5, 2, 60)
    single = mean_of_images(iou, np.arange(60))
    repeated = mean_of_images(np.tile(iou, 2), np.tile(np.arange(60), 2))
    assert single.value == repeated.value == pytest.approx(iou.mean())
    assert (repeated.low, repeated.high) == pytest.approx((single.low, single.high))
    baseline = np.maximum(iou - rng.uniform(0.01, 0.03, 60), 0)
    gain = mean_gain(baseline, iou, np.arange(60))
    assert gain.value == pytest.approx((iou - baseline).mean())
    assert 0.01 < gain.low < gain.high < 0.03  # much narrower than the interval of either mean
    assert single.high - single.low > 0.05


def test_interval_of_a_high_mean_stays_below_1_and_is_longer_downwards():
    found = mean_of_images([1.0, 1.0, 1.0, 0.9, 1.0, 1.0, 0.97, 1.0], np.arange(8))
    assert found.low < found.value < found.high < 1
    assert found.value - found.low > 1.5 * (found.high - found.value)


def test_mean_without_a_variance_has_a_reason_instead_of_an_interval():
    assert mean_of_images([], []).reason == "no images"
    assert mean_gain([], [], []).reason == "no images"
    assert mean_of_images([0.2, 0.4], [0, 0]).reason.startswith("all images are of one group")
    assert mean_gain([0.2, 0.4], [0.3, 0.4], [0, 0]).reason.startswith("all images are of one")
    same = mean_gain([0.2, 0.4], [0.2, 0.4], [0, 1])
    assert (same.value, same.low) == (0.0, None)
    assert "no variance" in same.reason
