from dataclasses import replace
from pathlib import Path

import pytest

from skin_lesions.config.compare import Compare
from skin_lesions.core.errors import InputError
from skin_lesions.core.versions import StoredVersions
from skin_lesions.pipelines.compare.nodes import compare
from support.report_inputs import two_classes

PREDICTIONS = two_classes().predictions


def stored(*versions):
    return StoredVersions(
        "predictions",
        versions,
        lambda version: replace(PREDICTIONS, version=version),
        lambda path: replace(PREDICTIONS, version=path.name),
    )


def selected(*versions, **given):
    values = {"baseline": None, "candidate": None, "paired": True, "max_examples": 1}
    found = compare(stored(*versions), Compare.model_validate(values | given))
    return found.baseline.predictions_version, found.candidate.predictions_version


def test_newest_version_is_compared_with_the_one_before_it():
    assert selected("V3", "V2", "V1") == ("V2", "V3")


def test_default_baseline_is_the_version_before_the_given_candidate():
    assert selected("V3", "V2", "V1", candidate="V2") == ("V1", "V2")


def test_given_versions_are_compared():
    assert selected("V3", "V2", "V1", baseline="V1", candidate="V2") == ("V1", "V2")


def test_default_baseline_of_a_file_is_the_newest_version(tmp_path):
    file = tmp_path / "mine.parquet"
    file.touch()
    assert selected("V2", "V1", candidate=str(file)) == ("V2", "mine.parquet")


def test_same_predictions_are_rejected():
    with pytest.raises(InputError, match="are the same .V1."):
        selected("V2", "V1", baseline="V1", candidate="V1")


@pytest.mark.parametrize("versions", [(), ("V1",)])
def test_too_few_versions_are_reported_with_the_fix(versions):
    with pytest.raises(
        InputError, match=r"no version of predictions .*in this data root.*evaluate"
    ):
        selected(*versions)


def test_sources_are_names_without_paths(tmp_path):
    file = tmp_path / "study" / "07_model_output/predictions.parquet/V9/predictions.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    values = {"baseline": str(file), "candidate": "V1", "paired": True, "max_examples": 1}
    found = compare(stored("V1"), Compare.model_validate(values))
    assert (found.baseline.source, found.candidate.source) == ("study", "this data root")
    assert str(Path(tmp_path)) not in found.model_dump_json()
