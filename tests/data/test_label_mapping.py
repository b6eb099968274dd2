import pandas as pd
import pytest
import yaml

from skin_lesions.core.errors import InputError
from skin_lesions.data.label_mapping import known_class, map_labels, read_label_map

CLASSES = ["NV", "MEL", "Benign keratosis"]


def mapped(*labels, given=None, classes=CLASSES):
    return dict(map_labels(pd.Series(labels, dtype=object), classes, given).classes)


def test_other_names_and_subtypes_of_a_diagnosis_are_mapped():
    assert mapped("naevi", "Malignant Melanoma", "seborrhoeic_keratosis", "blue nevus") == {
        "naevi": "NV",
        "Malignant Melanoma": "MEL",
        "seborrhoeic_keratosis": "Benign keratosis",
        "blue nevus": "NV",
    }


def test_diagnosis_is_not_mapped_to_one_of_its_subtypes():
    assert known_class("nevus", ["Blue nevus", "MEL"]) is None
    assert known_class("Blue nevus", ["NV", "Blue nevus"]) == "Blue nevus"


def test_label_that_is_a_class_is_never_changed():
    assert known_class("Nevus", ["NV", "Nevus"]) == "Nevus"
    assert known_class("lump 1", ["lump 1", "lump 2"]) == "lump 1"


def test_several_labels_are_mapped_to_one_class_and_others_are_ignored():
    given = {"mole": "nevus", "birthmark": "NV", "scar": "ignore"}
    mapping = map_labels(pd.Series(["mole", "birthmark", "scar", "MEL"]), CLASSES, given)
    assert mapping.apply(pd.Series(["scar", "mole", "MEL"])).tolist() == [None, "NV", "MEL"]
    assert mapping.classes["birthmark"] == "NV"


def test_map_of_the_user_has_priority_over_the_table_of_diagnoses():
    assert mapped("nevus", "melanoma", given={"nevus": "ignore"}) == {
        "nevus": None,
        "melanoma": "MEL",
    }


def test_unmapped_labels_stop_with_a_template_that_is_valid_yaml():
    with pytest.raises(InputError) as stopped:
        mapped("MEL", "no", "no", 'odd: "label"', "scar\x1b[2J")
    message = str(stopped.value)
    assert "3 labels of 4 images cannot be mapped" in message
    assert "\x1b" not in message
    template = yaml.load(message.split("\n", 1)[1], Loader=yaml.BaseLoader)
    assert template == dict.fromkeys(["no", 'odd: "label"', "scar\\x1b[2J"], "CHOOSE")


def test_template_with_classes_maps_all_labels(tmp_path):
    with pytest.raises(InputError) as stopped:
        mapped("x", "y: z")
    path = tmp_path / "map.yml"
    path.write_text(str(stopped.value).split("\n", 1)[1].replace("CHOOSE", "MEL"))
    assert mapped("x", "y: z", given=read_label_map(str(path))) == {"x": "MEL", "y: z": "MEL"}


def test_unknown_class_in_the_map_is_reported():
    with pytest.raises(InputError, match="mole: wart.*Expected NV, MEL, Benign keratosis, or ign"):
        mapped("mole", given={"mole": "wart"})


def test_map_that_ignores_all_labels_is_rejected():
    with pytest.raises(InputError, match="All labels of the external images are ignored"):
        mapped("mole", given={"mole": "ignore"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.yml", "no: NV\n1: MEL\nmole: ignore\n"),
        ("map.yaml", "{no: NV, 1: MEL, mole: ignore}"),
        ("map.csv", "label,class,note\nno,NV,a\n1,MEL,\nmole,ignore,\n"),
        ("map.CSV", "\ufefflabel,class\nno,NV\n1,MEL\nmole,ignore\n"),
    ],
)
def test_map_is_read_as_text_from_yaml_and_csv(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_label_map(str(path)) == {"no": "NV", "1": "MEL", "mole": "ignore"}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("map.yml", "- NV", "no lines of the form"),
        ("map.yml", "NV: [mole]", "not a text"),
        ("map.yml", "a: b: c", "mapping values"),
        ("map.yml", "", "no lines of the form"),
        ("map.yml", "!!python/object/apply:os.system [ls]", "no lines of the form"),
        ("map.csv", "name,class\nmole,NV\n", "columns label and class"),
        ("map.csv", "label,class\nmole,\n", "columns label and class"),
        ("map.yml", "mole: NV\nmole: MEL\n", "two classes for the label 'mole'"),
    ],
)
def test_file_that_is_no_map_is_reported(tmp_path, name, text, reason):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        read_label_map(str(path))


def test_missing_map_is_reported(tmp_path):
    with pytest.raises(InputError, match="external.label_map cannot be read"):
        read_label_map(str(tmp_path / "none.yml"))
    assert read_label_map(None) is None
