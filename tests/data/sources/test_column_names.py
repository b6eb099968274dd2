"""Tables in the form of public data sets: their image column, labels and metadata columns."""

import pytest

from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.sources.column_names import find_column, renamed_columns
from skin_lesions.data.sources.metadata import join_metadata, read_metadata
from support.factories import source, table

# Per data set: a file, its row in the table, the label column, and the expected key column,
# diagnosis and metadata columns. Values are invented; names of columns are those of the data set.
DATA_SETS = {
    "HAM10000": (
        "HAM10000_images_part_1/ISIC_0027419.jpg",
        {
            "lesion_id": "HAM_0000118",
            "image_id": "ISIC_0027419",
            "dx": "bkl",
            "dx_type": "histo",
            "age": "80.0",
            "sex": "male",
            "localization": "scalp",
        },
        "dx",
        "image_id",
        "BKL",
        {"lesion_id": "HAM_0000118", "age": 80, "sex": "male", "site": "scalp"},
    ),
    "BCN20000": (
        "bcn_images/BCN_0000000001.jpg",
        {
            "bcn_filename": "BCN_0000000001.jpg",
            "age_approx": "55.0",
            "anatom_site_general": "anterior torso",
            "diagnosis": "MEL",
            "lesion_id": "BCN_0003884",
            "capture_date": "2012-05-16",
            "sex": "male",
            "split": "train",
        },
        "diagnosis",
        "bcn_filename",
        "MEL",
        {"lesion_id": "BCN_0003884", "age": 55, "sex": "male", "site": "anterior torso"},
    ),
    "ISIC Archive": (
        "ISIC_0000013.jpg",
        {
            "isic_id": "ISIC_0000013",
            "attribution": "Anonymous",
            "copyright_license": "CC-0",
            "age_approx": "30",
            "anatom_site_general": "posterior torso",
            "benign_malignant": "benign",
            "diagnosis": "nevus",
            "lesion_id": "IL_1",
            "patient_id": "IP_1",
            "sex": "female",
        },
        "diagnosis",
        "isic_id",
        "NV",
        {
            "lesion_id": "IL_1",
            "patient_id": "IP_1",
            "age": 30,
            "sex": "female",
            "site": "posterior torso",
        },
    ),
    "ISIC 2019 ground truth": (
        "ISIC_2019_Training_Input/ISIC_0000001.jpg",
        {"image": "ISIC_0000001"}
        | dict.fromkeys(["MEL", "NV", "BCC", "BKL", "DF", "VASC", "SCC", "UNK"], "0.0")
        | {"AK": "1.0"},
        None,
        "image",
        "AK",
        {},
    ),
    "ISIC 2020": (
        "train/ISIC_2637011.jpg",
        {
            "image_name": "ISIC_2637011",
            "patient_id": "IP_7279968",
            "sex": "male",
            "age_approx": "45.0",
            "anatom_site_general_challenge": "head/neck",
            "diagnosis": "nevus",
            "benign_malignant": "benign",
            "target": "0",
        },
        "diagnosis",
        "image_name",
        "NV",
        {"patient_id": "IP_7279968", "age": 45, "sex": "male", "site": "head/neck"},
    ),
    "PAD-UFES-20": (
        "imgs_part_1/PAT_1516_1765_530.png",
        {
            "patient_id": "PAT_1516",
            "lesion_id": "1765",
            "age": "8",
            "gender": "FEMALE",
            "fitspatrick": "2.0",
            "region": "ARM",
            "diagnostic": "SEK",
            "img_id": "PAT_1516_1765_530.png",
            "biopsed": "False",
        },
        "diagnostic",
        "img_id",
        "BKL",
        {
            "patient_id": "PAT_1516",
            "lesion_id": "1765",
            "age": 8,
            "sex": "FEMALE",
            "site": "ARM",
            "fitzpatrick": 2,
        },
    ),
    "Fitzpatrick17k": (
        "images/5e82a45bc5d78bd24ae9202d194423f8.jpg",
        {
            "md5hash": "5e82a45bc5d78bd24ae9202d194423f8",
            "fitzpatrick_scale": "3",
            "fitzpatrick_centaur": "4",
            "label": "basal cell carcinoma",
            "nine_partition_label": "malignant epidermal",
            "three_partition_label": "malignant",
            "qc": "",
            "url": "https://example.org/1.jpg",
            "url_alphanum": "1.jpg",
        },
        "label",
        "md5hash",
        "BCC",
        {"fitzpatrick": 3},
    ),
    "DDI": (
        "ddidiversedermatologyimages/000001.png",
        {
            "": "0",
            "DDI_ID": "1",
            "DDI_file": "000001.png",
            "skin_tone": "56",
            "malignant": "True",
            "disease": "melanoma-in-situ",
        },
        "disease",
        "DDI_file",
        "MEL",
        {},
    ),
    "Derm7pt": (
        "images/NEL/NEL027.JPG",
        {
            "case_num": "1",
            "diagnosis": "blue nevus",
            "seven_point_score": "1",
            "location": "abdomen",
            "sex": "male",
            "clinic": "NEL/NEL026.jpg",
            "derm": "NEL/NEL027.jpg",
            "case_id": "",
        },
        "diagnosis",
        "derm",
        "NV",
        {"lesion_id": "1", "sex": "male", "site": "abdomen"},
    ),
    "PH2": (
        "PH2 Dataset images/IMD003/IMD003_Dermoscopic_Image/IMD003.bmp",
        {
            "Image Name": "IMD003",
            "Histological Diagnosis": "",
            "Common Nevus": "",
            "Atypical Nevus": "X",
            "Melanoma": "",
        },
        None,
        "Image Name",
        "NV",
        {},
    ),
    "MRA-MIDAS": (
        "midas/s-prd-1.jpg",
        {
            "midas_record_id": "12",
            "midas_file_name": "s-prd-1.jpg",
            "midas_distance": "dscope",
            "midas_location": "l nose",
            "midas_path": "malignant- melanoma",
            "midas_gender": "male",
            "midas_age": "71",
            "midas_fitzpatrick": "ii light skin",
        },
        "midas_path",
        "midas_file_name",
        "MEL",
        {
            "patient_id": "12",
            "age": 71,
            "sex": "male",
            "site": "l nose",
            "fitzpatrick": "ii light skin",
        },
    ),
    "SCIN": (
        "dataset/images/-3205742176803893704.png",
        {
            "case_id": "-2243186711511406658",
            "age_group": "AGE_30_TO_39",
            "sex_at_birth": "FEMALE",
            "fitzpatrick_skin_type": "FST2",
            "image_1_path": "dataset/images/-3205742176803893704.png",
            "weighted_skin_condition_label": "{'Melanoma': 1.0}",
            "label": "Melanoma",  # added by the user: the data set has weighted labels
        },
        "label",
        "image_1_path",
        "MEL",
        {"lesion_id": "-2243186711511406658", "sex": "FEMALE", "fitzpatrick": "FST2"},
    ),
}


@pytest.mark.parametrize("name", DATA_SETS)
def test_columns_and_labels_of_a_public_data_set_are_recognized(tmp_path, name):
    file, row, label_column, key, code, expected = DATA_SETS[name]
    # A second row with other labels: one-hot columns have more than one value.
    other = dict.fromkeys(row, "") | {"MEL": "1.0", "Melanoma": "X", label_column: "nevus"}
    other |= dict.fromkeys(["NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"], "0.0")
    other = {column: other[column] for column in row} | {key: "another"}
    path = table(tmp_path / "m.csv", [row, other])
    (metadata,) = read_metadata(source(metadata=[str(path)], label_column=label_column))
    rows = metadata.match_files([file])
    assert metadata.key == key
    (label,) = metadata.labels_for(rows)
    assert diagnosis_of(label).code == code
    found = join_metadata([file], [metadata], [rows]).loc[file].to_dict()
    assert {column: found[column] for column in expected} == expected


def test_column_names_ignore_case_and_punctuation_but_exact_names_take_precedence():
    for column in ("Image ID", "image-id", " Image.Id "):
        assert find_column(["image_id"], ["age", column]) == column
    assert find_column(["sex"], ["Sex", "SEX", "sex"]) == "sex"
    assert find_column(["file", "img_id"], ["IMG_ID", "File"]) == "File"
    assert find_column(["file"], ["filename"]) is None


def test_only_one_column_of_each_content_is_renamed():
    assert renamed_columns(["gender", "sex", "age"]) == {}
    assert renamed_columns(["Gender", "Age_Approx", "site"]) == {
        "Gender": "sex",
        "Age_Approx": "age",
    }
    assert renamed_columns(["localization", "anatom_site_general"]) == {
        "anatom_site_general": "site"
    }
