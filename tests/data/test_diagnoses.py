import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.diagnoses import DIAGNOSES, class_key, diagnosis_of, malignant_classes


@pytest.mark.parametrize("diagnosis", DIAGNOSES, ids=lambda d: d.name)
def test_names_codes_and_aliases_identify_their_diagnosis(diagnosis):
    for name in (diagnosis.name, diagnosis.code, *diagnosis.aliases, *diagnosis.subtypes):
        assert diagnosis_of(name) is diagnosis


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("actinic_keratosis", "Actinic keratoses"),
        ("ACTINIC KERATOSIS", "Actinic keratoses"),
        ("basal-cell carcinomas", "Basal cell carcinoma"),
        ("BasalCellCarcinoma", "Basal cell carcinoma"),
        ("vascular lesion", "Vascular lesions"),
        ("melanocytic nevus", "Melanocytic nevi"),
        ("naevi", "Melanocytic nevi"),
        ("chicken pox", "Chickenpox"),
        ("Benign keratosis-like lesions", "Benign keratosis-like-lesions"),
        ("Mela\u200bnoma", "Melanoma"),
        # PAD-UFES-20
        ("ACK", "Actinic keratoses"),
        ("BCC", "Basal cell carcinoma"),
        ("MEL", "Melanoma"),
        ("NEV", "Melanocytic nevi"),
        ("SCC", "Squamous cell carcinoma"),
        ("SEK", "Benign keratosis-like-lesions"),
        ("seborrheic keratosis", "Benign keratosis-like-lesions"),
        ("Seborrheic_Keratoses", "Benign keratosis-like-lesions"),
        ("Normal", "Healthy"),
        ("Atypical Nevus", "Melanocytic nevi"),  # PH2
        ("melanoma (in situ)", "Melanoma"),  # Derm7pt
        ("melanoma-in-situ", "Melanoma"),  # DDI
    ],
)
def test_case_plural_spaces_and_punctuation_are_ignored(label, name):
    assert diagnosis_of(label).name == name


@pytest.mark.parametrize("label", ["", " ", "s", "is", "日本語", "melano", "keratosis", "UNK"])
def test_unknown_labels_have_no_diagnosis(label):
    assert diagnosis_of(label) is None


def test_malignancy_matches_the_publication():
    malignant = {d.name for d in DIAGNOSES if d.malignant}
    assert malignant == {"Basal cell carcinoma", "Melanoma", "Squamous cell carcinoma"}
    assert [d.name for d in DIAGNOSES if d.premalignant] == ["Actinic keratoses"]
    assert sum(d.image_kind == "dermoscopy" for d in DIAGNOSES) == 8


@pytest.mark.parametrize(
    "names",
    [
        ("Melanoma", "melanoma", "MEL", "Melanomas", " mela\u200bnoma"),
        ("Nevus", "NV", "nevi", "Melanocytic naevi"),
        ("Seborrheic keratosis", "seborrheic_keratoses"),
        ("Healthy", "Normal"),
        ("1", "1.0", " 1.", "\u0661.0".replace("\u0661", "1")),
        ("type A", "Type_a", "TYPE-A", "type\u00a0a", "ty\u00adpe a", "\uff54ype a"),
        ("n\u00e9vo", "ne\u0301vo"),
    ],
)
def test_names_of_one_class_have_one_key(names):
    assert len({class_key(name) for name in names}) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("Melanoma", "Melanoma in situ", "Nevus", "Blue nevus", "Common nevus"),
        ("Benign keratosis", "Seborrheic keratosis", "Pigmented benign keratosis"),
        ("HPV+", "HPV-", "HPV"),
        ("1", "-1", "10", "1.5", "01"),
        ("type 1", "type 11", "type"),
        (
            "\u0645\u06cc\u200c\u062e\u0648",
            "\u0645\u06cc\u062e\u0648",
        ),  # Persian, with and without a joiner
        ("日本", "日本語"),
    ],
)
def test_names_of_different_classes_have_different_keys(names):
    assert len({class_key(name) for name in names}) == len(names)


def test_table_of_diagnoses_decides_which_classes_are_malignant():
    found = malignant_classes(["MEL", "Melanocytic nevi", "Actinic keratoses", "Eczema"], None)
    assert found.malignant == ("MEL",)
    assert found.benign == ("Melanocytic nevi", "Actinic keratoses")
    assert found.excluded == ("Eczema",)
    assert found.is_malignant.tolist() == [True, False, False, False]
    assert found.is_known.tolist() == [True, True, True, False]


def test_given_classes_are_malignant_and_all_others_benign():
    found = malignant_classes(["MEL", "Eczema", "Lymphoma"], ["Lymphoma", "melanoma"])
    assert (found.malignant, found.benign, found.excluded) == (("MEL", "Lymphoma"), ("Eczema",), ())


def test_unknown_malignant_class_is_reported_with_the_available_ones():
    with pytest.raises(InputError, match=r"not classes of the model: SCC\. .* MEL, NV\."):
        malignant_classes(["MEL", "NV"], ["SCC"])
