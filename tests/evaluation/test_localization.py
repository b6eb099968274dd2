"""Scores of boxes and masks against true boxes, from tables."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.evaluation.localization import (
    LocalizationResults,
    LocalizationTables,
    compute_localization,
)
from skin_lesions.metrics.intervals import Estimate, proportion
from skin_lesions.metrics.localization import (
    ImageBoxes,
    average_precisions,
    mean_gain,
    mean_of_images,
)
from support.localization import LOCALIZATION_PROVENANCE

METHODS = ("dense", "mean_box", "whole_image")
TRUE = (0.25, 0.25, 0.5, 0.75)
FIXED = (0.25, 0.25, 0.5, 0.5)  # IoU exactly 0.5 with TRUE
N = 12


def box_rows(boxes, *names):
    return pd.DataFrame(boxes, columns=[*names, "x0", "y0", "x1", "y1"])


def part(fraction):
    """Return a box with this IoU with TRUE."""
    x0, y0, x1, y1 = TRUE
    return x0, y0, x1, y0 + fraction * (y1 - y0)


# The IoU of the method dense of each image; no box is predicted for the first image.
IOUS = np.array([0.0, 0.1, 0.49, 0.51, 0.6, 0.69, 0.71, 0.8, 0.9, 0.9, 1.0, 1.0])
IDS = [f"i{i:02}" for i in range(N)]
GROUP = np.array(["g0", "g0", *[f"g{i}" for i in range(2, N)]])
SOURCE = np.array(["clinic"] * 5 + ["web"] * 6 + ["rare"])


def tables(ious=IOUS):
    predicted = [
        *((i, "dense", *part(iou)) for i, iou in zip(IDS, ious, strict=True) if iou),
        *((i, "mean_box", *FIXED) for i in IDS),
        *((i, "whole_image", 0, 0, 1, 1) for i in IDS),
    ]
    return LocalizationTables(
        predicted=box_rows(predicted, "image_id", "method").assign(score=1.0),
        true=box_rows([(i, *TRUE) for i in IDS], "image_id"),
        images=pd.DataFrame(
            {
                "image_id": IDS,
                "file": [f"{i}.jpg" for i in IDS],
                "group_id": GROUP,
                "source": SOURCE,
            }
        ),
    )


def results(made=None, **changes):
    settings = {"methods": METHODS, "trained": "dense", "min_images": 5, "max_worst": 3}
    provenance = LOCALIZATION_PROVENANCE
    return compute_localization(
        tables() if made is None else made, **settings | changes, provenance=provenance
    )


def values(estimate):
    return estimate.value, estimate.low, estimate.high


def same(estimate, expected):
    return values(estimate) == pytest.approx(values(expected))


def test_scores_of_all_images():
    dense = results().methods["dense"]
    assert (dense.images, dense.groups, dense.without_box) == (N, N - 1, 1)
    assert same(dense.iou, mean_of_images(IOUS, GROUP))
    assert same(dense.at_50, proportion(IOUS >= 0.5, GROUP))
    assert same(dense.at_70, proportion(IOUS >= 0.7, GROUP))
    assert same(dense.gain, mean_gain(np.full(N, 0.5), IOUS, GROUP))
    assert dense.iou.value == pytest.approx(IOUS.mean())
    assert results().methods["whole_image"].iou.value == pytest.approx(0.25 * 0.5)
    assert values(results().methods["mean_box"].at_50) == values(proportion(np.ones(N), GROUP))


def test_image_without_a_box_counts_as_0_also_if_a_method_has_none():
    made = tables()
    without = made.predicted[made.predicted["method"] != "dense"]
    dense = results(replace(made, predicted=without)).methods["dense"]
    assert (dense.iou.value, dense.without_box, dense.images) == (0.0, N, N)
    assert dense.gain.value == pytest.approx(-0.5)


def test_order_of_the_rows_does_not_matter():
    made = tables()
    shuffled = LocalizationTables(
        predicted=made.predicted.sample(frac=1, random_state=0),
        true=made.true.sample(frac=1, random_state=1),
        images=made.images.set_index(np.arange(N)[::-1]),
    )
    assert results(shuffled) == results(made)


def test_sources_with_enough_images_have_scores_of_their_own():
    found = results()
    assert list(found.sources) == ["clinic", "web"]
    of_web = found.sources["web"]["dense"]
    assert of_web.images == 6
    assert same(of_web.iou, mean_of_images(IOUS[SOURCE == "web"], GROUP[SOURCE == "web"]))
    assert of_web.gain.value == pytest.approx(IOUS[SOURCE == "web"].mean() - 0.5)
    made = tables()
    one = replace(made, images=made.images.assign(source="clinic"))
    assert results(one).sources == {}


def test_boxes_have_no_average_precision_if_each_image_has_one_lesion():
    dense = results().methods["dense"]
    assert dense.ap_50.reason == dense.map_50_95.reason == "no image has several true boxes"


def test_several_lesions_have_an_average_precision_and_the_best_true_box_counts():
    made = tables()
    second = box_rows([("i00", 0.7, 0.7, 0.9, 0.9)], "image_id")
    found_second = box_rows(
        [("i00", "dense", 0.7, 0.7, 0.9, 0.8), ("i11", "dense", 0.0, 0.0, 0.1, 0.1)],
        "image_id",
        "method",
    ).assign(score=[0.3, 0.2])
    dense = results(
        replace(
            made,
            true=pd.concat([made.true, second], ignore_index=True),
            predicted=pd.concat([made.predicted, found_second], ignore_index=True),
        )
    ).methods["dense"]
    assert dense.iou.value == pytest.approx((IOUS.sum() + 0.5) / N)
    boxes = [
        ImageBoxes(
            predicted=np.array([part(iou)] if iou else [], float).reshape(-1, 4),
            scores=np.ones(1 if iou else 0),
            true=np.array([TRUE]),
        )
        for iou in IOUS
    ]
    boxes[0] = ImageBoxes(
        predicted=np.array([[0.7, 0.7, 0.9, 0.8]]),
        scores=np.array([0.3]),
        true=np.array([TRUE, (0.7, 0.7, 0.9, 0.9)]),
    )
    boxes[-1] = ImageBoxes(
        predicted=np.array([TRUE, (0.0, 0.0, 0.1, 0.1)]),
        scores=np.array([1.0, 0.2]),
        true=np.array([TRUE]),
    )
    expected = average_precisions(boxes)
    assert dense.ap_50.value == pytest.approx(expected[0])
    assert dense.map_50_95.value == pytest.approx(expected.mean())
    assert dense.ap_50.reason == "average precision has no interval"


def test_masks_are_scored_with_the_threshold_of_isic_over_the_images_that_have_one():
    mask_iou = pd.DataFrame({"image_id": IDS[:4], "method": "dense", "iou": [0.9, 0.7, 0.64, 0.0]})
    found = results(replace(tables(), mask_iou=mask_iou)).methods
    expected = mean_of_images([0.9, 0.7, 0.0, 0.0], GROUP[:4])
    assert same(found["dense"].thresholded_jaccard, expected)
    assert found["dense"].thresholded_jaccard.n == 4
    assert found["mean_box"].thresholded_jaccard.reason == "the method has no masks"


@pytest.mark.parametrize(
    ("ious", "verdict", "conclusion"),
    [
        (np.full(N, 0.8) + np.arange(N) / 100, "better", "better than a fixed box"),
        (0.5 + (np.arange(N) - 5) / 50, "no_better", "no better than a fixed box"),
        (np.full(N, 0.2) + np.arange(N) / 100, "worse", "worse than a fixed box"),
    ],
)
def test_conclusion_follows_from_the_interval_of_the_gain(ious, verdict, conclusion):
    found = results(tables(ious))
    assert (found.verdict, found.conclusion) == (verdict, conclusion)
    assert found.gain == found.methods["dense"].gain


def test_equal_boxes_are_no_better_and_an_unknown_gain_is_not_comparable():
    made = tables()
    equal = made.predicted[made.predicted["method"] == "mean_box"]
    twice = pd.concat([equal, equal.assign(method="dense")])
    found = results(replace(made, predicted=twice))
    assert (found.gain.value, found.gain.low) == (0.0, None)
    assert found.conclusion == "no better than a fixed box"
    other = made.predicted[made.predicted["method"] == "dense"]
    alone = results(replace(made, predicted=other), methods=("dense",))
    assert alone.gain.reason == "a fixed box was not evaluated"
    assert alone.conclusion == "not comparable with a fixed box"
    assert alone.worst[0].mean_box is None


def test_interval_that_touches_0_is_no_better():
    found = results()
    gain = Estimate(value=0.1, low=0.0, high=0.2, n=N)
    dense = found.methods["dense"].model_copy(update={"gain": gain})
    changed = found.model_copy(update={"methods": found.methods | {"dense": dense}})
    assert changed.verdict == "no_better"


def test_worst_images_are_those_with_the_lowest_iou_of_the_trained_method():
    worst = results().worst
    assert [entry.image_id for entry in worst] == ["i00", "i01", "i02"]
    assert [entry.iou for entry in worst] == pytest.approx([0.0, 0.1, 0.49])
    assert worst[0].predicted is None
    assert worst[1].predicted == pytest.approx(part(0.1))
    assert (worst[0].file, worst[0].source) == ("i00.jpg", "clinic")
    assert (worst[0].true, worst[0].mean_box) == ((TRUE,), FIXED)


def test_results_survive_json():
    found = results()
    assert LocalizationResults.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("true", lambda t: t[1:], "1 image (e.g. i00.jpg) without a true box"),
        ("true", lambda t: t.assign(x1=t["x0"]), "12 invalid boxes (e.g. 0.25, 0.25, 0.25, 0.75"),
        ("true", lambda t: t.assign(x1=np.nan), "12 invalid boxes"),
        ("predicted", lambda t: t.assign(x1=300.0), "clip at the border"),
        ("predicted", lambda t: t.assign(image_id="x"), "1 image (e.g. x) that the table of"),
        ("predicted", lambda t: t.assign(score=np.nan), "scores that are not finite"),
        ("predicted", lambda t: t.drop(columns="score"), "has no column score"),
        ("predicted", lambda t: t.assign(method="yolo"), "Unknown methods of localization (yolo)"),
        ("images", lambda t: t[:0], "has 0 rows"),
        ("images", lambda t: pd.concat([t, t]), "24 rows and 12 different image_ids"),
    ],
)
def test_invalid_tables_are_rejected(name, change, message):
    made = tables()
    with pytest.raises(InputError) as error:
        results(replace(made, **{name: change(getattr(made, name))}))
    assert message in str(error.value)
    assert "Fix: " in str(error.value)


@pytest.mark.parametrize("iou", [[0.5, 1.2], [0.5, np.nan]])
def test_mask_ious_outside_of_0_to_1_are_rejected(iou):
    table = pd.DataFrame({"image_id": IDS[:2], "method": "dense", "iou": iou})
    with pytest.raises(InputError, match="1 values outside of 0 to 1 and 0 repeated"):
        replace(tables(), mask_iou=table)


def test_predicted_box_without_an_area_has_an_iou_of_0():
    made = tables()
    flat = made.predicted.assign(y1=made.predicted["y0"])
    assert results(replace(made, predicted=flat)).methods["dense"].iou.value == 0.0


def test_trained_method_must_be_evaluated():
    with pytest.raises(InputError, match="Unknown methods of localization \\(cam\\)"):
        results(trained="cam")
