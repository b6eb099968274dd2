"""Nothing that is fitted depends on the test images."""

import numpy as np
import pandas as pd
import pytest
import torch

from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.core.errors import InputError
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.tables import SplitTable
from skin_lesions.pipelines.train import nodes
from support.imagesets import blobs, square_images
from support.models import SPLIT_PROVENANCE
from support.training import calibrate_stored, fit_stored

# Options with their own fits: averaged weights, class balance, a schedule by epochs.
OPTIONS = {
    "class_balance": "logit_adjustment",
    "label_smoothing": 0.1,
    "ema_decay": 0.9,
    "epochs": 3,
    "progressive_resizing_start": 0.5,
    "test_time_augmentation": "flips",
}
METADATA = MetadataInputs(columns=("age", "site"), types={}, equalize_missing=True)


def images(folder, seed_of_test_images=None):
    """Store 120 images of two classes, 24 of each split are val and test; return store and table.

    With a seed, the test images have random pixels, the other label and other metadata.
    """
    pixels, table = blobs(120)
    # Noise, so that some validation images are wrong and the temperature is not 1.
    rng = np.random.default_rng(7)
    pixels = np.clip(pixels + rng.normal(0, 60, (120, 1, 1, 3)), 0, 255).astype(np.uint8)
    is_test = (table["split"] == "test").to_numpy()
    if seed_of_test_images is not None:
        random = np.random.default_rng(seed_of_test_images)
        pixels[is_test] = random.integers(0, 256, pixels[is_test].shape)
        other = table["label"].map({"green": "red", "red": "green"})
        table = table.assign(label=table["label"].where(~is_test, other))
    ages = 40 + 20 * (table["label"] == "red") + rng.normal(0, 10, 120)
    sites = pd.Series(rng.choice(["face", "back", None], 120), dtype=object)
    table = table.assign(
        age=ages.where(~is_test, ages + (seed_of_test_images or 0)),
        site=sites.where(~is_test | (seed_of_test_images is None), "tail"),
    )
    square_images(PixelStore(folder).at(32).folder, pixels)
    return PixelStore(folder), SplitTable(table, SPLIT_PROVENANCE, "v1")


def train_and_calibrate(stored):
    model, history = fit_stored(stored, METADATA, **OPTIONS)
    return calibrate_stored(model, stored, **OPTIONS), history


@pytest.mark.slow
def test_no_fitted_value_changes_with_the_pixels_and_labels_of_the_test_images(tmp_path):
    stored, changed = images(tmp_path / "a"), images(tmp_path / "b", seed_of_test_images=1)
    test = stored[1].frame["split"] == "test"
    assert test.sum() == 24
    assert (stored[1].frame["label"] != changed[1].frame["label"]).tolist() == test.tolist()
    (first, history), (second, other_history) = map(train_and_calibrate, (stored, changed))

    assert first.postprocessing == second.postprocessing
    assert first.postprocessing.calibration.temperature != 1.0
    assert first.postprocessing.metadata_fusion.weight > 0
    assert first.state_dict.keys() == second.state_dict.keys()
    for name, tensor in first.state_dict.items():
        assert torch.equal(tensor, second.state_dict[name]), name
    timing = ["seconds", "images_per_second"]
    pd.testing.assert_frame_equal(
        history.drop(columns=timing), other_history.drop(columns=timing), check_exact=True
    )
    # Everything else in the model, except what identifies the split.
    assert first.model_dump(exclude={"provenance"}) == second.model_dump(exclude={"provenance"})


@pytest.mark.slow
def test_every_fit_after_the_training_uses_exactly_the_validation_images(tmp_path):
    """Without the test rows the results are the same. With other validation labels they change."""
    store, table = images(tmp_path)
    model, _ = fit_stored((store, table), **OPTIONS)
    rows = table.frame
    fitted = calibrate_stored(model, (store, table), **OPTIONS).postprocessing
    without_test = SplitTable(rows[rows["split"] != "test"], SPLIT_PROVENANCE, "v1")
    assert calibrate_stored(model, (store, without_test), **OPTIONS).postprocessing == fitted
    label = rows["label"].where(rows["split"] != "val", "green")
    green = SplitTable(rows.assign(label=label), SPLIT_PROVENANCE, "v1")
    other = calibrate_stored(model, (store, green), **OPTIONS).postprocessing
    assert other.calibration != fitted.calibration
    assert other.conformal != fitted.conformal
    assert other.frequencies == fitted.frequencies
    val = int((rows["split"] == "val").sum())
    assert fitted.calibration.n == val
    assert sum(entry.n for entry in fitted.conformal.classes) == val
    assert fitted.referral.n == val


@pytest.mark.parametrize("decision", ["balanced", "frequency"])
@pytest.mark.slow
def test_model_saves_class_counts_decision_coverage_and_accuracy(tmp_path, decision):
    store, table = images(tmp_path)
    rows = table.frame
    dropped = rows[(rows["label"] == "green") & (rows["split"] == "train")].index[:30]
    skewed = SplitTable(rows.drop(dropped), SPLIT_PROVENANCE, "v1")
    changes = {"class_balance": "square_root_sampler", "decision": decision, "epochs": 1}
    changes |= {"conformal_coverage": 0.8, "referral_accuracy": 0.7}
    model, _ = fit_stored((store, skewed), **changes)
    fitted = calibrate_stored(model, (store, skewed), **changes).postprocessing
    train = skewed.frame[skewed.frame["split"] == "train"]
    counts = [int((train["label"] == name).sum()) for name in ("green", "red")]
    assert list(fitted.frequencies.train_counts) == counts
    assert counts[0] < counts[1]
    assert fitted.frequencies.implied_exponent == 0.5
    assert fitted.frequencies.decision == decision
    assert fitted.conformal.coverage == 0.8
    assert fitted.referral.target_accuracy == 0.7


def test_classes_whose_columns_would_have_one_name_stop_the_training_before_images_are_read(
    tmp_path,
):
    _, table = blobs(20)
    names = {"green": "mel", "red": "balanced_mel"}
    renamed = SplitTable(table.assign(label=table["label"].map(names)), SPLIT_PROVENANCE, "v1")
    with pytest.raises(InputError, match=r"'mel' and 'balanced_mel' need the same column"):
        fit_stored((PixelStore(tmp_path), renamed))
    assert nodes.check_class_columns(["mel", "balanced_nv"]) is None


def test_metadata_columns_that_cannot_be_used_stop_the_training_before_images_are_read(tmp_path):
    _, table = blobs(20)
    split_table = SplitTable(table, SPLIT_PROVENANCE, "v1")
    metadata = MetadataInputs(columns=("age",), types={}, equalize_missing=True)
    with pytest.raises(InputError, match="metadata.columns: age does not exist"):
        fit_stored((PixelStore(tmp_path), split_table), metadata)
