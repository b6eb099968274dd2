"""Clinical metadata of new images: tables, predictions and rows."""

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner

from skin_lesions.cli import cli
from skin_lesions.commands import predict as command
from skin_lesions.core.errors import InputError
from skin_lesions.deployment.clinical_metadata import metadata_note, read_clinical_metadata
from skin_lesions.deployment.images import find_images
from skin_lesions.deployment.prediction_run import PredictionRun
from support.clinical import fusion
from support.factories import jpeg_files, write_files
from support.postprocessing import postprocessing, unknown_score
from support.predictors import CLASSES, MeanColorPredictor, description

NAMES = ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
WITH_FUSION = description(
    postprocessing=postprocessing(
        (3, 1), unknown_score=unknown_score(features=3), metadata_fusion=fusion(CLASSES)
    )
)
TABLE = """image,Age,anatom_site_general
1,85,head/neck
2,20,back
3,unknown,the moon
"""


@pytest.fixture
def folder(tmp_path):
    return write_files(tmp_path / "images", jpeg_files(NAMES))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def run_of(folder, table=None, model=WITH_FUSION):
    files = find_images([str(folder)], follow_symlinks=False, option="")
    metadata = read_clinical_metadata(table, files.names, model, "predict.metadata")
    return PredictionRun(MeanColorPredictor(model), files, 2, metadata)


def rows_of(run):
    return [row for batch in run.batches() for row in batch]


def test_metadata_change_the_probabilities_of_their_own_image_only(folder, table):
    alone, both = rows_of(run_of(folder)), rows_of(run_of(folder, table))
    change = np.array(
        [
            b.prediction.probabilities[0] - a.prediction.probabilities[0]
            for a, b in zip(alone, both, strict=True)
        ]
    )
    assert change[0] > 0.01
    assert change[1] < -0.01
    assert change[2] == change[3] == 0.0
    missing = [row.prediction.missing_metadata for row in both]
    assert missing == [(), (), ("age", "site"), ("age", "site")]
    assert {row.prediction.missing_metadata for row in alone} == {("age", "site")}


def test_other_metadata_do_not_continue_an_unfinished_run(folder, table):
    first = run_of(folder, table).fingerprint()
    table.write_text(TABLE.replace("85", "84"), encoding="utf-8")
    assert len({first, run_of(folder, table).fingerprint(), run_of(folder).fingerprint()}) == 3


def test_model_of_images_only_rejects_metadata(folder, table):
    with pytest.raises(InputError, match=r"predict.metadata is set, but the model uses images"):
        run_of(folder, table, description())
    assert metadata_note(description(), None) is None
    assert "(age, site)" in metadata_note(WITH_FUSION, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,sex\n1,male\n", "none of the columns that the model uses"),
        ("name,age\n1,50\n", "no column with image names"),
        ("image,age\nother,50\n", "No row of .* matches any of the 4 files"),
    ],
)
def test_unusable_tables_are_rejected_with_the_name_of_the_option(folder, table, content, message):
    table.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        run_of(folder, table)
    assert "source." not in str(error.value)


def test_command_reads_the_table_and_lists_missing_values(folder, table, monkeypatch):
    monkeypatch.setattr(
        command, "load_predictor", lambda path, device, localizer: MeanColorPredictor(WITH_FUSION)
    )

    def predict(*arguments):
        return CliRunner().invoke(cli, ["predict", "--model", "x", str(folder), *arguments])

    result = predict("--metadata", str(table))
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["missing_metadata"] for row in rows] == ["", "", "age|site", "age|site"]
    found = json.loads(predict("--metadata", str(table), "--format", "json").stdout)
    assert [row["missing_metadata"] for row in found] == [[], [], ["age", "site"], ["age", "site"]]
    assert "Without them, the predictions are those of the images alone" in predict().stderr
