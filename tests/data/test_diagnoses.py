import pytest

from skin_lesions.data.diagnoses import DIAGNOSES, diagnosis_of


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
