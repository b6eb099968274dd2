"""Initial weights that were trained on test or validation images are found before training."""

import logging

import pandas as pd
import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.models.model_file import write_model
from skin_lesions.models.weights_origin import WeightsLeakage, WeightsOrigin
from skin_lesions.training import step
from skin_lesions.training.weights_leakage import check_weights_leakage
from support.models import trained_model
from support.training import fit_stored

# Files a and b are in one group. File h is excluded from the split, because of a label conflict.
GROUPS = pd.DataFrame(
    {
        "file": list("abcdefgh"),
        "image_id": [f"image_{name}" for name in "abcdefgh"],
        "group_id": ["g1", "g1", "g2", "g3", "g4", "g5", "g6", "g5"],
    }
).assign(pixel_id=lambda table: table["image_id"])
SPLIT = GROUPS[["file", "image_id"]][:7].assign(
    split=["test", "test", "test", "val", "train", "val", "train"]
)


def ids(files):
    return tuple(f"image_{name}" for name in files)


def check(train="", val="", *, split=SPLIT, groups=GROUPS, allow=True):
    origin = WeightsOrigin(
        weights="x", file="m.pth", train_image_ids=ids(train), val_image_ids=ids(val)
    )
    return check_weights_leakage(origin, split, groups, allow=allow)


def leakage(*args, **options):
    found = check(*args, **options).leakage
    return found and (found.test_images, found.val_images)


def test_images_of_the_current_train_split_are_no_leakage():
    assert check("eg", allow=False).leakage is None


def test_test_image_in_the_training_of_the_weights_is_leaked():
    assert leakage("c") == (1, 0)


def test_test_images_are_leaked_by_another_image_of_their_group():
    """The earlier model used a; b is in the same group."""
    assert leakage("a") == (2, 0)


def test_test_image_that_selected_the_earlier_model_is_leaked():
    assert leakage(val="c") == (1, 0)


def test_validation_image_in_the_training_of_the_weights_is_leaked():
    assert leakage("d") == (0, 1)


def test_validation_images_that_were_validation_images_before_are_no_leakage():
    assert leakage("eg", val="df") is None
    # Also if a test image is in their group, as split.policy=original allows.
    a_in_val = SPLIT.assign(split=SPLIT["split"].where(SPLIT["file"] != "a", "val"))
    assert leakage(val="a", split=a_in_val) is None


def test_group_of_an_image_that_the_split_excludes_is_known():
    assert leakage("h") == (0, 1)
    in_test = SPLIT.assign(split=SPLIT["split"].where(SPLIT["file"] != "f", "test"))
    assert leakage("h", split=in_test) == (1, 0)
    assert leakage(val="h", split=in_test) == (1, 0)


def test_images_that_are_also_in_train_are_no_leakage_of_the_weights():
    """The policy original keeps duplicates in several splits, and reports them on its own."""
    duplicate = pd.DataFrame({"file": ["c2"], "image_id": ["image_c"], "group_id": ["g2"]})
    groups = pd.concat([GROUPS, duplicate.assign(pixel_id="image_c")])
    split = pd.concat([SPLIT, duplicate[["file", "image_id"]].assign(split="train")])
    assert leakage("c", split=split, groups=groups) is None


def test_unknown_images_are_no_leakage():
    assert leakage("xyz") is None


def test_leakage_stops_the_training_with_counts_examples_and_fixes():
    with pytest.raises(InputError) as error:
        check("acdeg", allow=False)
    assert str(error.value) == (
        "The model m.pth (train.weights) was trained or selected on 3 of 3 test images and 1 of 2 "
        "validation images: 3 of them directly, 1 through another image of their group (e.g. a, "
        "b, c). The results would be too high. Fix: use another file (--params "
        "train.weights=imagenet), or the images and the split of that model. To train anyway and "
        "mark the results: --params train.allow_leaky_weights=true"
    )


def test_allowed_leakage_is_logged(caplog):
    check("c")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "1 of 3 test images" in record.getMessage()


def test_groups_of_other_images_are_rejected():
    with pytest.raises(InputError, match="image_groups lacks 1 files of image_table, e.g. a"):
        check("c", groups=GROUPS[1:])


def test_weights_without_image_ids_need_no_groups():
    assert check(groups=GROUPS[:0]).leakage is None


# In the node that trains


def earlier_model(path, **changes):
    """Write a model for the images of the fixture ``stored``; return its path."""
    write_model(trained_model(classes=("green", "red"), **changes), path)
    return str(path)


def test_training_with_leaky_weights_stops_before_the_first_step(stored, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "optimizer_step", lambda *_: pytest.fail("a step was taken"))
    weights = earlier_model(tmp_path / "m.pth", train_image_ids=("image8", "image0"))
    with pytest.raises(InputError, match=r"1 of 12 test images.* \(e\.g\. 8\.png\)"):
        fit_stored(stored, weights=weights)


@pytest.mark.slow
def test_model_trained_with_leaky_weights_records_the_leakage(stored, tmp_path):
    weights = earlier_model(tmp_path / "m.pth", train_image_ids=("image8", "image6", "image0"))
    model, _ = fit_stored(stored, weights=weights, epochs=1, allow_leaky_weights=True)
    assert model.initial_weights.leakage == WeightsLeakage(test_images=1, val_images=1)
    assert model.initial_weights.train_image_ids == ("image0", "image6", "image8")
