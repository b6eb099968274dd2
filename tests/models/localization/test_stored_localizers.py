"""The newest localizer of a classifier is selected, and others are rejected."""

import logging

import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.core.versions import StoredVersions
from skin_lesions.models.localization.localizer_file import read_localizer, write_localizer
from skin_lesions.models.localization.stored_localizers import select_localizer
from support.bundles import exportable_model
from support.localization import localizer_of

MODEL = exportable_model("mobilenet_v3_small")


def stored(*localizers):
    """Store localizers; the first one is the newest, v9."""
    versions = tuple(f"v{9 - i}" for i in range(len(localizers)))
    by_version = {v: entry.with_version(v) for v, entry in zip(versions, localizers, strict=True)}
    return StoredVersions("localizer", versions, by_version.__getitem__, read_localizer)


@pytest.fixture(scope="module")
def own():
    return localizer_of(MODEL, epochs=1)


@pytest.fixture(scope="module")
def foreign(own):
    return own.model_copy(update={"classifier_sha256": "0" * 64})


def test_newest_trained_localizer_of_the_model_is_selected(own, foreign, caplog):
    caplog.set_level(logging.INFO, "skin_lesions")
    baseline = localizer_of(MODEL, "mean_box")
    found = select_localizer("auto", stored(foreign, baseline, own, own), MODEL, "x")
    assert found.version == "v7"
    assert "Localizer of the lesions: v7" in caplog.text
    assert select_localizer("v9", stored(baseline), MODEL, "x").method == "mean_box"


def test_model_without_a_localizer_has_none_and_the_command_is_named(foreign, caplog):
    caplog.set_level(logging.INFO, "skin_lesions")
    assert select_localizer("auto", stored(), MODEL, "x") is None
    assert caplog.text == ""
    assert select_localizer("auto", stored(foreign), MODEL, "x") is None
    assert "1 stored localizer of other models or methods: no lesion boxes" in caplog.text


def test_null_selects_none(own):
    assert select_localizer(None, stored(own), MODEL, "x") is None


def test_version_or_path_must_belong_to_the_model(own, foreign, tmp_path):
    entries = stored(own, foreign)
    assert select_localizer("v9", entries, MODEL, "x").version == "v9"
    write_localizer(own, tmp_path / "localizer.pth")
    found = select_localizer(str(tmp_path / "localizer.pth"), entries, MODEL, "x")
    assert found.threshold == own.threshold
    assert found.version.startswith("sha256:")
    with pytest.raises(InputError, match="belongs to another classifier"):
        select_localizer("v8", entries, MODEL, "x")
    with pytest.raises(InputError, match=r"predict.localizer \(v1\) is not a version of localizer"):
        select_localizer("v1", entries, MODEL, "predict.localizer")
