import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from skin_lesions.audit.model_findings import compute_model_findings
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.evaluation.explained_images import (
    ExplainedImages,
    normalize_map,
    select_images,
    without_maps,
)
from skin_lesions.evaluation.explanations import explain_images, rank_correlations
from skin_lesions.models import grad_cam
from support.factories import EVALUATE
from support.imagesets import blobs, square_images
from support.models import trained_model
from support.report_inputs import two_classes

CLASSES = ("green", "red")


def predictions(n=40, seed=0, labels=CLASSES, group_size=1):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet((1, 1), n)
    table = pd.DataFrame(p, columns=[f"p_{label}" for label in CLASSES])
    return table.assign(
        file=[f"{i:03}.png" for i in range(n)],
        image_id=[f"image{i}" for i in range(n)],
        group_id=[f"g{i // group_size}" for i in range(n)],
        split=np.where(np.arange(n) % 4 == 0, "val", "test"),
        label=rng.choice(labels, n),
        predicted=np.array(CLASSES)[p.argmax(axis=1)],
    )


def evaluate(**changes):
    explain = EVALUATE.explain.model_copy(update=changes)
    return EVALUATE.model_copy(update={"batch_size": 7, "explain": explain})


# Selection


def test_gallery_has_the_most_confident_and_the_least_confident_images_of_each_class():
    table = predictions()
    selected = select_images(table, CLASSES, 3, seed=0)
    for label in CLASSES:
        rows = table[(table["label"] == label) & (table["split"] == "test")]
        confidence = rows[["p_green", "p_red"]].max(axis=1)
        is_correct = rows["predicted"] == label
        gallery = selected[selected["label"] == label].set_index("kind")["image_id"]
        assert gallery["correct"] == rows.loc[confidence[is_correct].idxmax(), "image_id"]
        assert gallery["wrong"] == rows.loc[confidence[~is_correct].idxmax(), "image_id"]
        others = confidence[~rows["image_id"].isin([gallery["correct"], gallery["wrong"]])]
        assert gallery["uncertain"] == rows.loc[others.idxmin(), "image_id"]


@given(
    n=st.integers(0, 60),
    per_class=st.integers(1, 10),
    group_size=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_sample_has_different_test_images_of_different_groups_first(n, per_class, group_size, seed):
    table = predictions(n, seed, group_size=group_size)
    selected = select_images(table, CLASSES, per_class, seed)
    assert selected["image_id"].is_unique
    test = table[table["split"] == "test"]
    assert set(selected["image_id"]) <= set(test["image_id"])
    sample = selected[selected["in_sample"]]
    for label, rows in test.groupby("label"):
        chosen = sample[sample["label"] == label]
        assert len(chosen) == min(per_class, len(rows))
        assert chosen["group_id"].nunique() == min(per_class, rows["group_id"].nunique())


def test_sample_depends_on_the_seed_and_not_on_the_order_of_the_rows():
    table = predictions(200)
    first = select_images(table, CLASSES, 5, seed=0)
    pd.testing.assert_frame_equal(first, select_images(table[::-1], CLASSES, 5, seed=0))
    assert set(first["image_id"]) != set(select_images(table, CLASSES, 5, seed=1)["image_id"])


def test_class_without_test_images_and_class_without_errors_have_no_gallery_image():
    table = predictions(labels=["green"])
    table = table.assign(predicted="green")
    selected = select_images(table, CLASSES, 3, seed=0)
    assert set(selected["label"]) == {"green"}
    assert set(selected["kind"]) == {"", "correct", "uncertain"}


# Maps


@pytest.fixture(scope="module")
def stored_model(tmp_path_factory):
    """Stored images of two classes, a model with random weights, and selected images."""
    folder = tmp_path_factory.mktemp("pixels")
    store = PixelStore(folder)
    pixels, table = blobs(24, size=64)
    square_images(store.at(64).folder, pixels)
    model = trained_model(classes=CLASSES, preprocessing=Preprocessing("stretch", 64, 64))
    rows = select_images(predictions(24).assign(image_id=table["image_id"]), CLASSES, 5, 0)
    return model, store, rows


def test_maps_have_the_order_of_the_rows_and_belong_to_the_predicted_class(stored_model):
    model, store, rows = stored_model
    images = explain_images(model, store, rows, evaluate())
    assert (images.layer, images.reason) == ("layer3", "")
    assert images.maps.shape == (len(rows), 4, 4)
    reverse = explain_images(model, store, rows[::-1], evaluate())
    np.testing.assert_allclose(images.maps, reverse.maps[::-1], rtol=1e-3, atol=1e-6)
    other = rows.assign(predicted=rows["predicted"].map({"green": "red", "red": "green"}))
    assert not np.allclose(images.maps, explain_images(model, store, other, evaluate()).maps)
    valid = images.maps.any(axis=(1, 2))
    assert images.frame["border_fraction"][valid].between(0, 1).all()


def test_maps_of_the_same_network_with_random_weights_differ(stored_model):
    model, store, rows = stored_model
    similarity = explain_images(model, store, rows, evaluate()).frame["similarity"]
    assert similarity.mean() < 0.9


def test_border_width_determines_the_border(stored_model):
    model, store, rows = stored_model
    narrow, wide = (
        explain_images(model, store, rows, evaluate(border_width=width)).frame["border_fraction"]
        for width in (0.05, 0.3)
    )
    assert (narrow.dropna() < wide.dropna()).all()


def test_no_test_images_or_a_network_without_maps_give_the_reason(stored_model, monkeypatch):
    model, store, rows = stored_model
    empty = explain_images(model, store, rows[:0], evaluate())
    assert empty.reason == "there are no test images"

    def unavailable(*_):
        raise grad_cam.MapUnavailableError("no layer has a map")

    monkeypatch.setattr("skin_lesions.evaluation.explanations.find_map_layer", unavailable)
    images = explain_images(model, store, rows, evaluate())
    assert images.reason == "resnet18: no layer has a map"
    assert len(images.frame) == len(rows)


def test_rank_correlations_equal_those_of_scipy_and_constant_maps_have_none():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (2, 6, 3, 3)).astype(float)
    a[0] = 1.0
    found = rank_correlations(a, b)
    assert np.isnan(found[0])
    expected = [
        spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a[1:], b[1:], strict=True)
    ]
    np.testing.assert_allclose(found[1:], expected)


def test_table_restores_the_images(stored_model):
    model, store, rows = stored_model
    images = explain_images(model, store, rows, evaluate())
    for original in (images, without_maps(rows, "disabled")):
        restored = ExplainedImages.from_frame(original.to_frame())
        assert (restored.layer, restored.reason) == (original.layer, original.reason)
        np.testing.assert_array_equal(restored.maps, original.maps)
        pd.testing.assert_frame_equal(restored.frame, original.frame)


def test_normalized_map_has_the_maximum_1_and_an_empty_map_stays_empty():
    values = np.array([[0.0, 1e-9], [2e-9, 4e-9]], np.float32)
    np.testing.assert_allclose(normalize_map(values), [[0, 0.25], [0.5, 1]], rtol=1e-6)
    assert not normalize_map(np.zeros((2, 2), np.float32)).any()


# Findings

PROVENANCE: MetricsProvenance = two_classes().metrics.provenance


def findings(border, similarity=0.0, label=None, groups=None, classes=CLASSES):
    border = np.asarray(border, float)
    frame = pd.DataFrame(
        {
            "label": label if label is not None else np.resize(CLASSES, border.size),
            "group_id": groups if groups is not None else [f"g{i}" for i in range(border.size)],
            "border_fraction": border,
            "similarity": similarity,
        }
    )
    return compute_model_findings(frame, classes, 0.1, PROVENANCE, layer="layer4", reason="")


def noisy(mean, n=60, seed=0):
    return np.clip(np.random.default_rng(seed).normal(mean, 0.1, n), 0, 1)


def test_border_fraction_is_compared_with_the_area():
    found = findings(noisy(0.6))
    assert found.border.area == pytest.approx(0.36)
    assert found.border.fraction.value == pytest.approx(noisy(0.6).mean())
    assert found.border.fraction.low > 0.36
    [finding] = found.findings
    assert (finding.id, finding.severity) == ("border_attention", "medium")
    assert "61 % (58 to 63) of the Grad-CAM maps, for 36 % of the area" in finding.message
    assert [example[0] for example in finding.examples]


@pytest.mark.parametrize("mean", [0.05, 0.36])
def test_maps_in_the_center_or_without_preference_give_no_finding(mean):
    assert findings(noisy(mean, 200)).findings == []


def test_single_class_at_the_border_is_a_finding_of_low_severity():
    label = np.resize(["a", "b", "c", "d", "e", "f"], 120)
    border = np.where(label == "b", noisy(0.8, 120), noisy(0.1, 120))
    [finding] = findings(border, label=label, classes=list("abcdef")).findings
    assert (finding.severity, finding.count) == ("low", 1)
    assert finding.examples[0][0] == "b"


def test_images_of_few_groups_are_no_evidence():
    assert findings(noisy(0.5), groups=np.resize(["g0", "g1"], 60)).findings == []
    one = findings(noisy(0.9), groups=["g"] * 60)
    assert one.findings == []
    assert one.border.fraction.low is None
    assert one.border.fraction.reason == "images of only one group"


def test_many_classes_without_preference_rarely_give_a_finding():
    classes = [f"c{i}" for i in range(14)]
    found = [
        findings(noisy(0.36, 280, seed), label=np.resize(classes, 280), classes=classes).findings
        for seed in range(100)
    ]
    assert sum(map(bool, found)) <= 12  # 2.5 % by all images, 2.5 % by all classes


def test_images_of_one_group_do_not_count_as_independent():
    # One of the two groups has 19 images with maps at the border.
    groups = ["big"] * 19 + ["small"]
    border = np.array([0.9] * 19 + [0.1])
    alone = findings(border, label=["a"] * 20, classes=["a"])
    assert alone.findings  # if each image were a group of its own
    related = findings(border, label=["a"] * 20, groups=groups, classes=["a"])
    assert related.findings == []


def test_empty_maps_are_counted_and_left_out():
    found = findings([np.nan, 0.2, 0.3, 0.4, np.nan, 0.1])
    assert found.border.empty_maps == 2
    assert found.border.fraction.n == 4
    nothing = findings([np.nan, np.nan])
    assert nothing.border.fraction.reason == "all maps are zero everywhere"
    assert nothing.findings == []


def test_class_without_images_has_a_reason():
    found = findings(noisy(0.3), classes=[*CLASSES, "blue"])
    assert found.border.per_class["blue"].reason == "no maps of this class"


def test_maps_that_resemble_those_of_random_weights_are_a_finding():
    found = findings(noisy(0.2), similarity=noisy(0.8))
    assert found.similarity_to_random_weights.value == pytest.approx(noisy(0.8).mean())
    assert [finding.id for finding in found.findings] == ["explanations_of_random_weights"]
    assert findings(noisy(0.2), similarity=noisy(0.5)).findings == []


def test_reason_replaces_the_numbers():
    frame = without_maps(select_images(predictions(), CLASSES, 2, 0), "disabled").frame
    found = compute_model_findings(frame, CLASSES, 0.1, PROVENANCE, layer="", reason="disabled")
    assert (found.reason, found.border, found.layer) == ("disabled", None, None)
    assert found.similarity_to_random_weights.reason == "disabled"
