from pathlib import Path

import pytest

from skin_lesions.config.paths import resolve_paths
from skin_lesions.core.errors import InputError

PROJECT = Path("/project")


def resolved(**parameters):
    return resolve_paths(parameters, PROJECT)


def test_relative_paths_start_at_the_project():
    assert resolved(
        data_root="data/x",
        source={"folder": "images", "metadata": "a.csv", "kind": "folder"},
        train={"weights": "models/a.pth", "epochs": 1},
    ) == {
        "data_root": "/project/data/x",
        "source": {"folder": "/project/images", "metadata": "/project/a.csv", "kind": "folder"},
        "train": {"weights": "/project/models/a.pth", "epochs": 1},
    }


def test_each_table_of_the_metadata_is_resolved():
    """``--params source.metadata.0=a.csv`` gives a group with numbers as keys."""
    assert resolved(source={"metadata": ["a.csv", "/b.csv"]})["source"]["metadata"] == [
        "/project/a.csv",
        "/b.csv",
    ]
    assert resolved(source={"metadata": {0: "a.csv"}})["source"]["metadata"] == {
        0: "/project/a.csv"
    }


def test_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    paths = resolved(data_root="~/x", source={"folder": "~"}, train={"weights": "~/a.pth"})
    assert paths["data_root"] == "/home/me/x"
    assert paths["source"]["folder"] == "/home/me"
    assert paths["train"]["weights"] == "/home/me/a.pth"


def test_unknown_user_is_reported():
    with pytest.raises(InputError, match=r"data_root \(~nobody-here/x\).*unknown user"):
        resolved(data_root="~nobody-here/x")


@pytest.mark.parametrize(
    "weights", ["imagenet", "none", "https://host/a.pth", "file:///a.pth", "", None, 7]
)
def test_weights_that_are_no_path_stay_unchanged(weights):
    assert resolved(train={"weights": weights})["train"]["weights"] == weights


@pytest.mark.parametrize("value", [None, 5, "", True])
def test_values_that_are_no_text_stay_unchanged_for_the_validation(value):
    """An empty path would otherwise become the folder of the project."""
    given = {"data_root": value, "source": {"folder": value, "metadata": value}}
    assert resolve_paths(given, PROJECT) == given


@pytest.mark.parametrize(
    "parameters",
    [
        {"data_root": "s3://me:key@bucket/x?token=key"},
        {"source": {"folder": "s3://me:key@bucket/x?token=key"}},
        {"source": {"metadata": ["s3://me:key@bucket/x?token=key"]}},
    ],
)
def test_url_in_place_of_a_path_is_rejected_without_its_secrets(parameters):
    with pytest.raises(InputError, match=r"is a URL \(s3://bucket/x\)\. Expected a local path"):
        resolve_paths(parameters, PROJECT)


def test_paths_and_patterns_of_predict_are_resolved():
    found = resolved(predict={"input": "images/**/*.jpg", "model": "bundle", "batch_size": 8})
    assert found["predict"] == {
        "input": "/project/images/**/*.jpg",
        "model": "/project/bundle",
        "batch_size": 8,
    }
    assert resolved(predict={"input": None})["predict"] == {"input": None}


def test_paths_of_stored_results_are_resolved_and_versions_are_not():
    version = "2026-11-23T06.00.00.000Z"
    found = resolved(
        compare={"baseline": "other/data", "candidate": version, "paired": True},
        report={"comparison": "x.json"},
    )
    assert found["compare"] == {
        "baseline": "/project/other/data",
        "candidate": version,
        "paired": True,
    }
    assert found["report"] == {"comparison": "/project/x.json"}
    assert resolved(compare={"baseline": None})["compare"] == {"baseline": None}
