import json

import pytest
from kedro.io import DatasetError

from skin_lesions.audit.findings import AuditFindings, AuditSummary
from skin_lesions.core.errors import InputError
from skin_lesions.datasets import JSONModelDataset

FINDINGS = AuditFindings(
    summary=AuditSummary(
        files=3, images=2, groups=2, classes=2, quarantined=0, largest_groups=[2, 1]
    ),
    findings=[],
    shortcut_probes=[],
    image_table_version="V1",
    version="V2",
)


@pytest.fixture
def dataset(tmp_path):
    return JSONModelDataset(
        filepath=str(tmp_path / "f.json"), model="skin_lesions.audit.findings.AuditFindings"
    )


def test_content_is_loaded_as_saved_without_the_version(dataset, tmp_path):
    dataset.save(FINDINGS)
    assert dataset.load() == FINDINGS.with_version("(unsaved)")
    file = json.loads((tmp_path / "f.json").read_text())
    assert list(file) == ["summary", "findings", "shortcut_probes", "image_table_version"]
    assert json.loads(dataset.preview()) == file


@pytest.mark.parametrize("change", [{"summary": {"files": "many"}}, {"new key": 1}])
def test_other_content_is_an_error_with_the_path_and_the_wrong_field(dataset, tmp_path, change):
    file = FINDINGS.model_dump(mode="json") | change
    (tmp_path / "f.json").write_text(json.dumps(file))
    with pytest.raises(DatasetError) as error:
        dataset.load()
    assert isinstance(error.value.__cause__, InputError)
    assert "f.json" in str(error.value.__cause__)
    assert next(iter(change)) in str(error.value.__cause__)
