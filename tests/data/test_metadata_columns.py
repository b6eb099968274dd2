"""Selection of the metadata columns that a model uses."""

import logging

import pytest

from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.core.errors import InputError
from skin_lesions.data.metadata_columns import is_process_column, select_columns
from support.clinical import clinical_table


def table():
    return clinical_table(60).assign(
        dx_type="histo",
        patient_id=[f"p{i}" for i in range(60)],
        diagnostic=lambda t: t["label"].map({"bcc": "BCC", "mel": "MEL", "nv": "NEV"}),
        lesion=lambda t: t["label"],
        empty=None,
    )


def inputs(columns, **types) -> MetadataInputs:
    return MetadataInputs(columns=columns, types=types, equalize_missing=True)


def test_named_columns_are_selected_and_sorted():
    assert select_columns(table(), inputs(None)) == ()
    assert select_columns(table(), inputs({"1": "age", "0": "site"})) == ("age", "site")


def test_all_selects_the_columns_that_a_model_may_use(caplog):
    caplog.set_level(logging.INFO)
    assert select_columns(table(), inputs("all")) == ("age", "sex", "site")
    reasons = {
        "dx_type": "describes the diagnostic process or the file",
        "lesion": "repeats the label",
        "empty": "it has no value in the training images",
    }
    for name, reason in reasons.items():
        assert f"Metadata column {name} is not used: {reason}" in caplog.messages


def test_process_columns_are_used_only_if_they_are_named(caplog):
    changed = table().assign(dx_type=["histo", "follow_up"] * 30)
    assert select_columns(changed, inputs(["dx_type"])) == ("dx_type",)
    assert "Metadata column dx_type describes the diagnostic process" in caplog.text


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["agee"], "agee does not exist; did you mean age?"),
        (["label"], "label is a column of this project or an identifier"),
        (["patient_id"], "patient_id is a column of this project or an identifier"),
        (["lesion"], "lesion repeats the label"),
    ],
)
def test_columns_that_no_model_may_use_are_rejected(columns, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        select_columns(table(), inputs(columns))


def test_types_of_columns_that_are_not_selected_are_rejected():
    with pytest.raises(InputError, match=r"metadata.types has a type for site"):
        select_columns(table(), inputs(["age"], site="categorical"))


def test_columns_of_public_tables_that_describe_the_diagnosis_are_known():
    process = [
        *("dx_type", "diagnosis_confirm_type", "biopsed", "mel_thick_mm", "attribution"),
        *("copyright_license", "image_type", "diagnosis_1", "benign_malignant", "iddx_full"),
        *("clinical_impression_1", "nine_partition_label", "file_size", "metadata_image_id_path"),
        *("Histological Diagnosis", "upstream_split", "label_source"),
    ]
    assert [name for name in process if not is_process_column(name)] == []
    clinical = ["age", "sex", "site", "smoke", "itch", "skin_cancer_history", "fitzpatrick"]
    assert [name for name in clinical if is_process_column(name)] == []
