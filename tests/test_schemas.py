"""The JSON schemas in docs/schemas describe the files of a run."""

import importlib.util
import json

import jsonschema
import pyarrow.parquet as pq
import pytest
import torch

from conftest import ROOT

FOLDER = ROOT / "docs/schemas"
spec = importlib.util.spec_from_file_location("write_schemas", FOLDER / "write_schemas.py")
write_schemas = importlib.util.module_from_spec(spec)
spec.loader.exec_module(write_schemas)


def validate(content, name):
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text())
    jsonschema.validate(content, schema)


@pytest.mark.parametrize("name", write_schemas.SCHEMAS)
def test_schema_is_up_to_date(name):
    written = (FOLDER / f"{name}.schema.json").read_text()
    expected = write_schemas.schema_text(write_schemas.SCHEMAS[name])
    assert written == expected, "Fix: python docs/schemas/write_schemas.py"


def test_every_schema_file_is_written_by_the_script():
    assert {f"{name}.schema.json" for name in write_schemas.SCHEMAS} == {
        path.name for path in FOLDER.glob("*.json")
    }


@pytest.mark.parametrize(
    "name", ["metrics", "uncertainty", "audit_findings", "unknown", "model_findings"]
)
def test_json_files_of_a_run_match_their_schema(demo_run, name):
    path = demo_run.catalog()[name].load_path()
    content = json.loads(path.read_text())
    validate(content, name)
    with pytest.raises(jsonschema.ValidationError):
        validate(content | {"unknown_key": 1}, name)


def test_model_file_of_a_run_matches_its_schema(demo_run):
    content = torch.load(demo_run.catalog()["model"].load_path(), weights_only=True)
    others = {"format", "checksum", "state_dict"}
    assert others < content.keys()
    validate({key: value for key, value in content.items() if key not in others}, "model")


@pytest.mark.parametrize("name", ["image_table", "split_table", "predictions", "explained_images"])
def test_provenance_in_tables_of_a_run_matches_its_schema(demo_run, name):
    metadata = pq.read_schema(demo_run.catalog()[name].load_path()).metadata
    validate(json.loads(metadata[b"skin_lesions.provenance"]), f"provenance_of_{name}")
