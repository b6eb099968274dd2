"""Published layouts of public data sets (folders, file names, tables), with the real ingest."""

import pytest

from skin_lesions.commands.run import run as run_command
from skin_lesions.core.errors import InputError
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.groups import group_images
from support.factories import jpeg_files, table, write_files

CODES = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]
NINE = [*CODES[:8], "NV"]  # labels of the nine images
IMAGES = [f"ISIC_{i:07d}" for i in range(6)] + [f"ISIC_{i:07d}_downsampled" for i in range(6, 9)]
LESIONS = ["HAM_0000550", None, "BCN_0003884", None, None, None, "MSK4_0011169", None, None]


@pytest.fixture
def ingested(study):
    """Run ingest with the text of ``kedro run --params``; return the image table by file."""

    def run(params, env="folder"):
        small = "ingest.stored_image_size=16,train.image_size=16"
        context = run_command.make_context("run", ["--params", f"{params},{small}"])
        result = study(env, **context.params["params"])
        result.run("ingest")
        found = result.table("image_table").astype(object).set_index("file", drop=False)
        return found.where(found.notna(), None)

    return run


@pytest.fixture
def isic_2019(tmp_path):
    names = [f"ISIC_2019_Training_Input/{image}.jpg" for image in IMAGES]
    folder = write_files(tmp_path / "isic", jpeg_files(names))
    write_files(
        folder / "ISIC_2019_Training_Input", {"LICENSE.txt": b"CC", "ATTRIBUTION.txt": b"us"}
    )
    truth = [
        {"image": image} | {code: float(code == label) for code in CODES}
        for image, label in zip(IMAGES, NINE, strict=True)
    ]
    metadata = [
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
    table(folder / "ISIC_2019_Training_Metadata.csv", metadata)
    return folder


def test_isic_2019_labels_and_lesions_come_from_two_tables(ingested, isic_2019):
    prefix = f"{isic_2019}/ISIC_2019_Training"
    found = ingested(
        f"source.folder={isic_2019},source.metadata.0={prefix}_GroundTruth.csv,"
        f"source.metadata.1={prefix}_Metadata.csv"
    )
    assert found["file"].tolist() == [f"ISIC_2019_Training_Input/{image}.jpg" for image in IMAGES]
    assert found["label"].tolist() == NINE
    assert found["image"].tolist() == IMAGES
    assert found["lesion_id"].tolist() == LESIONS
    assert found["age"].iloc[1:].tolist() == [5.0 * i for i in range(1, 9)]
    assert set(found["sex"]) == {"female"}
    assert set(found["site"]) == {"anterior torso"}
    assert not set(CODES) & set(found.columns)
    assert found["filename_key"].tolist() == [f"ISIC_{i:07d}" for i in range(9)]
    malignant = {code for code in set(NINE) if diagnosis_of(code).malignant}
    assert malignant == {"MEL", "BCC", "SCC"}


def test_isic_2019_lesion_ids_group_the_isic_images_of_skin_ds(ingested, isic_2019):
    names = {
        "Split_smol/train/Melanoma/ISIC_0000000.jpg": "HAM_1",
        "Split_smol/test/Melanoma/ISIC_0000001_downsampled.jpg": "HAM_1",
        "Split_smol/train/Monkeypox/MKP_01_01_1.jpg": None,
    }
    folder = write_files(isic_2019.parent / "skin_ds", jpeg_files(list(names)))
    rows = [
        {"image": "ISIC_0000000", "lesion_id": "HAM_1"},
        {"image": "ISIC_0000001_downsampled", "lesion_id": "HAM_1"},
        {"image": "ISIC_0000005", "lesion_id": "HAM_2"},
    ]
    metadata = table(isic_2019.parent / "m.csv", rows)
    params = f"source.kind=folder,source.folder={folder},source.metadata={metadata}"
    found = ingested(params, env="skin_ds")
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
    folder = write_files(tmp_path / "ham", jpeg_files(names))
    rows = [
        {
            "lesion_id": f"HAM_{min(i, 6):07d}",  # the last two images are of the same lesion
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


def test_ham10000_in_two_folders_is_labeled_by_its_table(ingested, ham10000):
    found = ingested(
        f"source.folder={ham10000},source.metadata={ham10000}/HAM10000_metadata.csv,"
        "source.label_column=dx"
    )
    assert found["label"].tolist() == DX
    assert found["original_split"].isna().all()
    assert found["metadata_image_id"].tolist() == [f"ISIC_002{i:04d}" for i in range(8)]
    assert found["age"].tolist() == [40.0 + i for i in range(8)]
    assert {"dx", "dx_type", "sex", "site"} <= set(found.columns)
    groups, _ = group_images(found.reset_index(drop=True))
    assert groups["group_id"].nunique() == 7
    assert groups["link_types"].iloc[6:].tolist() == ["lesion_id"] * 2
    assert {dx for dx in DX if diagnosis_of(dx).malignant} == {"bcc", "mel"}
    assert {dx for dx in DX if diagnosis_of(dx).premalignant} == {"akiec"}


def test_folder_labels_give_a_warning_if_the_table_contains_diagnoses(ingested, ham10000, caplog):
    metadata = f"{ham10000}/HAM10000_metadata.csv"
    found = ingested(f"source.folder={ham10000},source.metadata={metadata}")
    assert set(found["label"]) == {"HAM10000_images_part_1", "HAM10000_images_part_2"}
    assert "To use it, set label_column to dx" in caplog.text


def test_diagnoses_as_folder_names_give_no_warning(ingested, tmp_path, caplog):
    folder = write_files(tmp_path / "mine", jpeg_files(["nevus/a.jpg", "melanoma/b.jpg"]))
    rows = [{"image": "a", "dx": "nv"}, {"image": "b", "dx": "mel"}]
    metadata = table(folder / "m.csv", rows)
    ingested(f"source.folder={folder},source.metadata={metadata}")
    assert "label_column" not in caplog.text


def test_any_table_with_an_image_column_is_supported(ingested, tmp_path):
    folder = write_files(tmp_path / "mine", jpeg_files(["a/1.png", "b/1.png"]))
    rows = [
        {"photo": "a/1.png", "diagnostic": "MEL", "patient_id": "PAT_8"},
        {"photo": "b/1.png", "diagnostic": "SEK", "patient_id": "PAT_8"},
    ]
    metadata = table(tmp_path / "metadata.csv", rows)
    params = f"source.folder={folder},source.metadata={metadata},source.label_column=diagnostic"
    with pytest.raises(
        InputError, match=r"set source\.metadata_key to the column with the image names"
    ):
        ingested(params)
    found = ingested(f"{params},source.metadata_key=photo")
    assert found["label"].tolist() == ["MEL", "SEK"]
    assert found["patient_id"].tolist() == ["PAT_8"] * 2
