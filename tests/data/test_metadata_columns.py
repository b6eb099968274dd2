"""Selection of the metadata columns that a model uses."""

import logging

import numpy as np
import pandas as pd
import pytest

from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.core.errors import InputError
from skin_lesions.data.metadata_columns import is_process_column, select_columns
from skin_lesions.data.sources.metadata import join_metadata, read_metadata
from skin_lesions.data.tabular import fit_encoder
from support.clinical import clinical_table
from support.factories import source


def table():
    return clinical_table(60).assign(
        dx_type="histo",
        patient_id=[f"p{i}" for i in range(60)],
        diagnostic=lambda t: t["label"].map({"bcc": "BCC", "mel": "MEL", "nv": "NEV"}),
        lesion=lambda t: t["label"],
        code=[f"a{i}" for i in range(60)],
        empty=None,
        img_id=[f"{i}.png" for i in range(60)],
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
        "code": "its values are names or numbers of single images",
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
        (["img_id"], "img_id is a column of this project or an identifier"),
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


# The columns of PAD-UFES-20, in order.
PAD_UFES_20 = (
    *("patient_id", "lesion_id", "smoke", "drink", "background_father", "background_mother"),
    *("age", "pesticide", "gender", "skin_cancer_history", "cancer_history"),
    *("has_piped_water", "has_sewage_system", "fitspatrick", "region", "diameter_1"),
    *("diameter_2", "diagnostic", "itch", "grew", "hurt", "changed", "bleed", "elevation"),
    *("img_id", "biopsed"),
)


def pad_ufes_20(n: int) -> pd.DataFrame:
    """Make a table in the form of PAD-UFES-20; half of the rows have few values."""
    rng = np.random.default_rng(0)
    values = dict.fromkeys(PAD_UFES_20, ("True", "False", "UNK")) | {
        "smoke": ["True", "False"],
        "drink": ["True", "False"],
        "background_father": ["POMERANIA", "GERMANY", "BRAZIL"],
        "background_mother": ["POMERANIA", "GERMANY", "ITALY"],
        "gender": ["FEMALE", "MALE"],
        "fitspatrick": ["1.0", "2.0", "3.0"],
        "region": ["FACE", "FOREARM", "CHEST", "BACK"],
        "diameter_1": ["6.0", "9.0", "12.0"],
        "diameter_2": ["5.0", "8.0", "11.0"],
        "diagnostic": ["BCC", "ACK", "NEV", "SEK", "SCC", "MEL"],
    }
    table = pd.DataFrame({name: rng.choice(values[name], n) for name in PAD_UFES_20})
    sparse = ["smoke", "drink", "background_father", "background_mother", "gender", "diameter_1"]
    table.loc[rng.random(n) < 0.5, sparse] = None
    return table.assign(
        age=rng.integers(6, 94, n),
        patient_id=[f"PAT_{i // 2}" for i in range(n)],
        lesion_id=[str(i) for i in range(n)],
        img_id=[f"PAT_{i // 2}_{i}_{i % 7}.png" for i in range(n)],
    )


def test_table_in_the_form_of_pad_ufes_20_needs_no_preparation(tmp_path):
    table = pad_ufes_20(240)
    path = tmp_path / "metadata.csv"
    table.to_csv(path, index=False)
    [metadata] = read_metadata(source(metadata=[str(path)], label_column="diagnostic"))
    files = table["img_id"].tolist()
    joined = join_metadata(files, [metadata], [metadata.match_files(files)])
    images = joined.assign(label=table["diagnostic"].to_numpy(), file=files)
    columns = select_columns(images, inputs("all"))
    renamed = {"gender": "sex", "region": "site", "fitspatrick": "fitzpatrick"}
    used = {renamed.get(name, name) for name in PAD_UFES_20}
    assert set(columns) == used - {*("patient_id", "lesion_id", "img_id", "diagnostic", "biopsed")}
    encoder = fit_encoder(images, columns, {})
    kinds = {column.name: column.kind for column in encoder.columns}
    numeric = {name for name, kind in kinds.items() if kind == "numeric"}
    assert numeric == {"age", "fitzpatrick", "diameter_1", "diameter_2"}
    assert "text" not in kinds.values()
    assert encoder.columns[columns.index("itch")].categories == ("no", "yes")
    assert encoder.columns[columns.index("site")].categories == (
        *("anterior torso", "head/neck", "posterior torso", "upper extremity"),
    )
