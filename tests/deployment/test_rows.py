import csv
import io
from dataclasses import replace

import pytest

from skin_lesions.deployment.decisions import Prediction
from skin_lesions.deployment.rows import (
    PredictionRow,
    column_names,
    csv_line,
    row_cells,
    row_json,
)
from skin_lesions.models.postprocessing.probabilities import class_frequencies
from support.postprocessing import postprocessing
from support.predictors import description

MODEL = description()
FREQUENCY = description(
    postprocessing=postprocessing(
        (3, 1), frequencies=class_frequencies((3, 1), "none", "frequency")
    )
)
PREDICTION = Prediction(
    predicted="mel",
    confidence=1 / 3,
    probabilities=(2 / 3, 1 / 3),
    balanced_probabilities=(0.4, 0.6),
    prediction_set=("nv", "mel"),
    unknown_score=-1.25e-7,
    referral_reasons=("uncertain", "unknown"),
)
ROW = PredictionRow(
    file="a/1.jpg", image_id="0f", prediction=PREDICTION, error=None, model_version="V1"
)
UNREADABLE = replace(ROW, prediction=None, error="the file is empty")


def cells(row, model=MODEL):
    return dict(zip(column_names(model), row_cells(row, model), strict=True))


def test_row_has_one_cell_for_each_column():
    assert cells(ROW) == {
        "file": "a/1.jpg",
        "image_id": "0f",
        "predicted": "mel",
        "p_nv": "0.66666667",
        "p_mel": "0.33333333",
        "p_balanced_nv": "0.4",
        "p_balanced_mel": "0.6",
        "prediction_set": "nv|mel",
        "unknown_score": "-1.25e-07",
        "refer": "True",
        "refer_reason": "uncertain|unknown",
        "error": "",
        "model_version": "V1",
    }


def test_model_without_balanced_decision_has_no_balanced_columns():
    row = replace(ROW, prediction=replace(PREDICTION, balanced_probabilities=None))
    assert not any(name.startswith("p_balanced") for name in cells(row, FREQUENCY))
    assert cells(row, FREQUENCY)["p_mel"] == "0.33333333"


def test_unreadable_file_is_referred_with_the_reason():
    found = cells(replace(UNREADABLE, image_id=None))
    assert found.pop("refer") == "True"
    assert found.pop("refer_reason") == "unreadable"
    assert found.pop("error") == "the file is empty"
    assert found.pop("file") == "a/1.jpg"
    assert found.pop("model_version") == "V1"
    assert set(found.values()) == {""}


def test_accepted_image_is_not_referred():
    found = cells(replace(ROW, prediction=replace(PREDICTION, referral_reasons=())))
    assert (found["refer"], found["refer_reason"]) == ("False", "")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx"])
def test_names_are_not_run_as_formulas(name):
    model = description(classes=("nv", name))
    prediction = replace(PREDICTION, predicted=name, prediction_set=(name,))
    row = PredictionRow(
        file=name, image_id=None, prediction=prediction, error=name, model_version="V1"
    )
    found = cells(row, model)
    for column in ("file", "predicted", "prediction_set", "error"):
        assert found[column] == f"'{name}"
    # A number is no formula, and stays a number.
    assert found["unknown_score"] == "-1.25e-07"


def test_separator_in_a_class_name_is_escaped():
    prediction = replace(PREDICTION, prediction_set=("a|b", "c\\"))
    assert cells(replace(ROW, prediction=prediction))["prediction_set"] == r"a\|b|c\\"


def test_line_can_be_parsed_whatever_the_names_are():
    values = ['a"b', "c,d", "line\nbreak", ""]
    assert next(csv.reader(io.StringIO(csv_line(values), newline=""))) == values


def test_json_has_typed_values():
    assert row_json(ROW, MODEL) == {
        "file": "a/1.jpg",
        "image_id": "0f",
        "predicted": "mel",
        "probabilities": {"nv": 0.66666667, "mel": 0.33333333},
        "balanced_probabilities": {"nv": 0.4, "mel": 0.6},
        "prediction_set": ["nv", "mel"],
        "unknown_score": -1.25e-07,
        "refer": True,
        "refer_reasons": ["uncertain", "unknown"],
        "error": None,
        "model_version": "V1",
    }
    unreadable = row_json(UNREADABLE, MODEL)
    assert unreadable["refer_reasons"] == ["unreadable"]
    assert unreadable["predicted"] is None
    assert unreadable["probabilities"] is None
