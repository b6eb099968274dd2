import csv
import io
import json

import pytest
from click.testing import CliRunner

from skin_lesions.cli import cli
from skin_lesions.commands import predict as command
from support.factories import jpeg_files, write_files
from support.predictors import MeanColorPredictor, description

NAMES = ["1.jpg", "2.jpg", "a/[red]3.jpg"]


@pytest.fixture
def folder(tmp_path):
    files = {**jpeg_files(NAMES), "bad.jpg": b"no image", "labels.csv": b"x"}
    return write_files(tmp_path / "images", files)


@pytest.fixture
def predictor(monkeypatch):
    """Use a small predictor for any model."""
    chosen = MeanColorPredictor()
    monkeypatch.setattr(command, "load_predictor", lambda path, device, localizer: chosen)
    return chosen


def predict(*arguments):
    return CliRunner().invoke(cli, ["predict", "--model", "x", *map(str, arguments)])


def test_output_to_a_pipe_is_csv(folder, predictor):
    result = predict(folder)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["file"] for row in rows] == [*NAMES, "bad.jpg"]
    assert [row["refer_reason"] == "unreadable" for row in rows] == [False] * 3 + [True]


def test_json_is_a_list_with_one_object_for_each_file(folder, predictor):
    rows = json.loads(predict(folder, "--format", "json").stdout)
    assert [row["file"] for row in rows] == [*NAMES, "bad.jpg"]
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1)
    assert rows[-1]["refer_reasons"] == ["unreadable"]


def test_table_shows_names_of_files_unchanged(folder, predictor):
    output = predict(folder, "--format", "table").stdout
    lines = output.splitlines()
    assert lines[0].split() == ["File", "Predicted", "Probability", "Prediction", "set", "Refer"]
    assert any(line.startswith("a/[red]3.jpg ") for line in lines)
    assert "unreadable: not an" in output


def test_control_characters_in_names_do_not_reach_the_terminal(tmp_path, predictor):
    folder = write_files(tmp_path, jpeg_files(["\x1b[2J.jpg"]))
    assert "\x1b" not in predict(folder, "--format", "table").stdout


def test_unreadable_and_skipped_files_are_counted_on_the_standard_error(folder, predictor):
    result = predict(folder)
    assert result.exit_code == 0
    assert "1 of 4 files unreadable" in result.stderr
    assert "Skipped 1 file" in result.stderr
    assert "unreadable" not in predict(folder / "1.jpg").stderr


def test_status_is_1_if_no_image_was_predicted(folder, predictor):
    result = predict(folder / "bad.jpg", "--format", "json")
    assert result.exit_code == 1
    assert "No image could be predicted" in result.stderr
    assert json.loads(result.stdout)[0]["error"].startswith("not an image")


@pytest.mark.parametrize(("name", "first"), [("rows.csv", '\ufeff"file"'), ("rows.JSON", "[")])
def test_output_file_has_the_format_of_its_suffix(folder, predictor, tmp_path, name, first):
    result = predict(folder, "--output", tmp_path / name)
    assert result.stdout == ""
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(first)


def test_failed_prediction_keeps_the_existing_output_file(folder, predictor, tmp_path, monkeypatch):
    output = tmp_path / "rows.csv"
    output.write_text("earlier")
    monkeypatch.setattr(predictor, "outputs", lambda images: 1 / 0)
    assert isinstance(predict(folder, "--output", output).exception, ZeroDivisionError)
    assert output.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "rows.csv"]


def test_output_that_cannot_be_written_is_reported(folder, predictor, tmp_path):
    write_files(tmp_path, {"file": b""})
    result = predict(folder, "--output", tmp_path / "file" / "rows.csv")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_missing_images_and_models_are_reported(tmp_path, folder):
    assert "Error: The file or folder does not exist" in predict(tmp_path / "no.jpg").stderr
    assert "Error: The model does not exist (x)" in predict(folder).stderr


def test_warnings_of_the_model_are_on_the_standard_error(folder, predictor):
    predictor.description = description(is_synthetic=True)
    assert "Warning: The model was trained on synthetic images" in predict(folder).stderr
