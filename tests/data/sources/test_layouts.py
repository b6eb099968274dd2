"""Public data sets as they are published: their folders, file names and tables, through the real ingest."""

import pytest

from skin_lesions.cli import cli
from skin_lesions.core.errors import InputError
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.groups import group_images
from support.factories import pictures, table, written

CODES = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]
NINE = [*CODES[:8], "NV"]  # of nine images
IMAGES = [f"ISIC_{i:07d}" for i in range(6)] + [f"ISIC_{i:07d}_downsampled" for i in range(6, 9)]
LESIONS = ["HAM_0000550", None, "BCN_0003884", None, None, None, "MSK4_0011169", None, None]


@pytest.fixture
def ingested(study):
    """Ingest with what stands behind ``kedro run --params``: the image table, by file."""

    def run(given, env="folder"):
        small = "ingest.stored_image_size=16,train.image_size=16"
        context = cli.commands["run"].make_context("run", ["--params", f"{given},{small}"])
        left = study(env, **context.params["params"])
        left.run("ingest")
        found = left.load("image_table").astype(object).set_index("file", drop=False)
        return found.where(found.notna(), None)

    return run


@pytest.fixture
def isic_2019(tmp_path):
    names = [f"ISIC_2019_Training_Input/{image}.jpg" for image in IMAGES]
    folder = written(tmp_path / "isic", pictures(names))
    written(folder / "ISIC_2019_Training_Input", {"LICENSE.txt": b"CC", "ATTRIBUTION.txt": b"us"})
    truth = [
        {"image": image} | {code: float(code == label) for code in CODES}
        for image, label in zip(IMAGES, NINE, strict=True)
    ]
    about = [
        {
            "image": image,
            "age_approx": 5.0 * i or None,
            "anatom_site_general": "anterior torso",
            "lesion_id": lesion,
            "sex": "female",
        }
        for i, (image, lesion) in enumerate(zip(IMAGES, LESIONS, strict=True))
    ]
    table(folder / "ISIC_2019_Training_GroundTruth.csv", truth)
    table(folder / "ISIC_2019_Training_Metadata.csv", about)
    return folder


def test_isic_2019_takes_labels_from_one_table_and_lesions_from_the_other(ingested, isic_2019):
    start = f"{isic_2019}/ISIC_2019_Training"
    found = ingested(
        f"source.folder={isic_2019},source.metadata.0={start}_GroundTruth.csv,"
        f"source.metadata.1={start}_Metadata.csv"
    )
    assert found["file"].tolist() == [f"ISIC_2019_Training_Input/{image}.jpg" for image in IMAGES]
    assert found["label"].tolist() == NINE
    assert found["image"].tolist() == IMAGES
    assert found["lesion_id"].tolist() == LESIONS
    assert found["age_approx"].iloc[1:].tolist() == [5.0 * i for i in range(1, 9)]
    assert set(found["sex"]) == {"female"}
    assert set(found["anatom_site_general"]) == {"anterior torso"}
    assert not set(CODES) & set(found.columns)
    assert found["filename_key"].tolist() == [f"ISIC_{i:07d}" for i in range(9)]
    malignant = {code for code in set(NINE) if diagnosis_of(code).malignant}
    assert malignant == {"MEL", "BCC", "SCC"}


def test_lesions_of_isic_2019_mend_the_half_of_skin_ds_that_comes_from_it(ingested, isic_2019):
    names = {
        "Split_smol/train/Melanoma/ISIC_0000000.jpg": "HAM_1",
        "Split_smol/test/Melanoma/ISIC_0000001_downsampled.jpg": "HAM_1",
        "Split_smol/train/Monkeypox/MKP_01_01_1.jpg": None,
    }
    folder = written(isic_2019.parent / "skin_ds", pictures(list(names)))
    rows = [
        {"image": "ISIC_0000000", "lesion_id": "HAM_1"},
        {"image": "ISIC_0000001_downsampled", "lesion_id": "HAM_1"},
        {"image": "ISIC_0000005", "lesion_id": "HAM_2"},
    ]
    metadata = table(isic_2019.parent / "m.csv", rows)
    given = f"source.kind=folder,source.folder={folder},source.metadata={metadata}"
    found = ingested(given, env="skin_ds")
    assert found.loc[list(names), "lesion_id"].tolist() == list(names.values())
    assert set(found["label"]) == {"Melanoma", "Monkeypox"}
    groups, _ = group_images(found.reset_index(drop=True))
    assert groups.set_index("file").loc[list(names), "link_types"].tolist() == [
        "lesion_id",
        "lesion_id",
        "",
    ]


DX = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc", "nv"]


@pytest.fixture
def ham10000(tmp_path):
    names = [f"HAM10000_images_part_{1 + i // 4}/ISIC_002{i:04d}.jpg" for i in range(8)]
    folder = written(tmp_path / "ham", pictures(names))
    rows = [
        {
            "lesion_id": f"HAM_{min(i, 6):07d}",  # the last two show one lesion
            "image_id": f"ISIC_002{i:04d}",
            "dx": dx,
            "dx_type": "histo",
            "age": 40.0 + i,
            "sex": "male",
            "localization": "back",
        }
        for i, dx in enumerate(DX)
    ]
    table(folder / "HAM10000_metadata.csv", rows)
    table(folder / "hmnist_8_8_L.csv", [{"pixel0000": 1}])
    return folder


def test_ham10000_takes_its_labels_from_the_table_and_lies_in_two_folders(ingested, ham10000):
    found = ingested(
        f"source.folder={ham10000},source.metadata={ham10000}/HAM10000_metadata.csv,"
        "source.label_column=dx"
    )
    assert found["label"].tolist() == DX
    assert found["original_split"].isna().all()
    assert found["metadata_image_id"].tolist() == [f"ISIC_002{i:04d}" for i in range(8)]
    assert found["age"].tolist() == [40.0 + i for i in range(8)]
    assert {"dx", "dx_type", "sex", "localization"} <= set(found.columns)
    groups, _ = group_images(found.reset_index(drop=True))
    assert groups["group_id"].nunique() == 7
    assert groups["link_types"].iloc[6:].tolist() == ["lesion_id"] * 2
    assert {dx for dx in DX if diagnosis_of(dx).malignant} == {"bcc", "mel"}
    assert {dx for dx in DX if diagnosis_of(dx).premalignant} == {"akiec"}


def test_folders_taken_for_classes_are_told_where_the_table_holds_diagnoses(
    ingested, ham10000, caplog
):
    metadata = f"{ham10000}/HAM10000_metadata.csv"
    found = ingested(f"source.folder={ham10000},source.metadata={metadata}")
    assert set(found["label"]) == {"HAM10000_images_part_1", "HAM10000_images_part_2"}
    assert "to take those: source.label_column=dx" in caplog.text


def test_folders_that_name_diagnoses_are_not_doubted(ingested, tmp_path, caplog):
    folder = written(tmp_path / "mine", pictures(["nevus/a.jpg", "melanoma/b.jpg"]))
    rows = [{"image": "a", "dx": "nv"}, {"image": "b", "dx": "mel"}]
    metadata = table(folder / "m.csv", rows)
    ingested(f"source.folder={folder},source.metadata={metadata}")
    assert "label_column" not in caplog.text


def test_any_table_with_a_column_of_images_will_do(ingested, tmp_path):
    folder = written(tmp_path / "mine", pictures(["a/1.png", "b/1.png"]))
    rows = [
        {"img_id": "a/1.png", "diagnostic": "MEL", "patient_id": "PAT_8"},
        {"img_id": "b/1.png", "diagnostic": "SEK", "patient_id": "PAT_8"},
    ]
    metadata = table(tmp_path / "metadata.csv", rows)
    given = f"source.folder={folder},source.metadata={metadata},source.label_column=diagnostic"
    with pytest.raises(InputError, match=r"set source\.metadata_key to the one that names"):
        ingested(given)
    found = ingested(f"{given},source.metadata_key=img_id")
    assert found["label"].tolist() == ["MEL", "SEK"]
    assert found["patient_id"].tolist() == ["PAT_8"] * 2
