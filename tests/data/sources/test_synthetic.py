import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skin_lesions.data.diagnoses import DIAGNOSES, diagnosis_of
from skin_lesions.data.sources import open_source
from skin_lesions.data.sources.filename_keys import filename_key
from skin_lesions.data.sources.synthetic import clinical, dermoscopic, render_file, synthetic_table
from skin_lesions.data.sources.synthetic.acquisition import render_image
from skin_lesions.data.sources.synthetic.cohort import (
    DUPLICATES_ACROSS_SPLITS,
    DUPLICATES_WITHIN_SPLIT,
    FILES,
    TRUNCATED,
    WRONG_LABELS,
    Lesion,
    synthetic_images,
)
from support.factories import source

SEED = 3
DARK = 0.5  # Fitzpatrick IV and above


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return synthetic_table(SEED)


def unplanted(table):
    return table[table["planted"].isna()]


def thumbnail(file, seed=SEED):
    image = Image.open(io.BytesIO(render_file(file, seed))).convert("RGB")
    return np.asarray(image.resize((16, 16), Image.Resampling.BOX), float)


def center_color_quantiles(jpeg):
    """Return quantiles of each channel, which hardly depend on rotation and framing."""
    image = np.asarray(Image.open(io.BytesIO(jpeg)), float)
    rows, columns = (slice(n // 5, n - n // 5) for n in image.shape[:2])
    return np.quantile(image[rows, columns], np.linspace(0.05, 0.95, 10), axis=(0, 1))


def files_of_lesion(row, table):
    return unplanted(table)[lambda t: t["lesion"].eq(row.lesion)]["file"]


def test_table_has_the_declared_number_of_files_per_diagnosis(table):
    expected = {diagnosis.name: FILES[diagnosis.code] for diagnosis in DIAGNOSES}
    without_duplicates = table[~table["planted"].isin(["copy", "other_label"])]
    assert without_duplicates["label"].value_counts().to_dict() == expected


@pytest.mark.parametrize("seed", range(5))
def test_every_diagnosis_is_in_every_split_and_has_enough_patients_to_split(seed):
    table = unplanted(synthetic_table(seed))
    patients = table["lesion"].str.rpartition("_")[0].groupby(table["label"]).nunique()
    assert patients.min() >= 12
    assert table.groupby("label")["original_split"].nunique().eq(3).all()


def test_file_names_are_unique():
    for seed in range(40):
        names = [image.name for image in synthetic_images(seed)]
        assert len(set(names)) == len(names), seed


def test_paths_contain_the_split_and_label_of_the_table(table):
    split, label, _ = zip(*table["file"].str.split("/"), strict=True)
    assert list(split) == table["original_split"].tolist()
    assert list(label) == table["label"].tolist()


def test_table_has_the_declared_number_of_planted_faults(table):
    assert table["planted"].value_counts().to_dict() == {
        "copy": DUPLICATES_ACROSS_SPLITS + DUPLICATES_WITHIN_SPLIT,
        "other_label": len(WRONG_LABELS),
        "truncated": TRUNCATED,
    }


def test_images_of_one_lesion_are_in_several_splits(table):
    splits = unplanted(table).groupby("lesion")["original_split"].nunique()
    assert (splits > 1).sum() > 50


def test_photographs_have_no_identifiers_but_a_key_in_their_file_name(table):
    is_photograph = table["label"].map(diagnosis_of).map(lambda d: d.image_kind == "photograph")
    assert table.loc[is_photograph, ["lesion_id", "patient_id"]].isna().all(axis=None)
    assert table.loc[is_photograph, "file"].map(filename_key).notna().all()
    assert table.loc[~is_photograph, "file"].map(filename_key).isna().all()


def test_age_sex_and_site_are_missing_equally_often_in_all_classes(table):
    for column in ("age", "sex", "site"):
        known = table[column].notna().groupby(table["label"]).mean()
        assert known.min() > 0.7, column
    ages = table.groupby("label")["age"].median()
    assert ages["Chickenpox"] < 20 < 55 < ages["Basal cell carcinoma"]


def test_diameter_is_mostly_missing_for_benign_lesions_and_says_nothing_else(table):
    malignant = table["label"].map(lambda label: diagnosis_of(label).malignant)
    known = table["diameter"].notna()
    assert known[malignant].mean() > 0.85
    assert known[~malignant].mean() < 0.4
    means = table.groupby(malignant)["diameter"].mean()
    assert abs(means[True] - means[False]) < 1.0  # mm


def test_diameter_is_in_the_demo_only_on_request():
    for leak in (False, True):
        demo = {"seed": SEED, "missingness_leak": leak}
        opened = open_source(source(kind="demo", demo=demo))
        assert ("diameter" in opened.table) == leak


def test_lesion_id_corresponds_one_to_one_to_the_drawn_lesion(table):
    known = table.dropna(subset="lesion_id")
    assert known.groupby("lesion_id")["lesion"].nunique().eq(1).all()
    assert known.groupby("lesion")["lesion_id"].nunique().eq(1).all()
    assert known["lesion_id"].nunique() > 200


@pytest.mark.parametrize("fault", ["copy", "other_label"])
def test_planted_duplicate_equals_one_file_of_the_same_lesion_byte_for_byte(table, fault):
    planted = table[table["planted"].eq(fault)]
    for row in planted.itertuples():
        candidates = [render_file(file, SEED) for file in files_of_lesion(row, table)]
        assert candidates.count(render_file(row.file, SEED)) == 1


def test_half_of_the_planted_duplicates_cross_the_splits(table):
    duplicates = table[table["planted"].eq("copy")]
    assert duplicates["original_split"].ne("train").sum() == DUPLICATES_ACROSS_SPLITS


def test_mislabeled_duplicates_show_the_true_diagnosis(table):
    code_of = {diagnosis.name: diagnosis.code for diagnosis in DIAGNOSES}
    mislabeled = table[table["planted"].eq("other_label")]
    drawn_codes = mislabeled["lesion"].str.split("_").str[0]
    labeled_codes = mislabeled["label"].map(code_of)
    assert sorted(zip(drawn_codes, labeled_codes, strict=True)) == sorted(WRONG_LABELS)


def test_truncated_file_starts_as_a_jpeg_and_cannot_be_decoded(table):
    (file,) = table.loc[table["planted"].eq("truncated"), "file"]
    image = Image.open(io.BytesIO(render_file(file, SEED)))
    with pytest.raises(OSError, match="truncated"):
        image.load()


def test_file_bytes_do_not_depend_on_thread_or_pickling(table):
    files = unplanted(table).groupby("label")["file"].first().tolist()
    expected = [render_file(file, SEED) for file in files]
    draw = pickle.loads(pickle.dumps(partial(render_file, seed=SEED)))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, files)) == expected


def test_different_seeds_give_different_images():
    lesions = [{p.lesion.key: p for p in synthetic_images(seed)}["NV_01_01"] for seed in (1, 2)]
    first, second = (thumbnail(p.file, seed) for p, seed in zip(lesions, (1, 2), strict=True))
    assert np.abs(first - second).mean() > 5


def test_table_is_created_without_drawing(monkeypatch):
    def fail(*_):
        raise AssertionError("An image was drawn.")

    monkeypatch.setattr("skin_lesions.data.sources.synthetic.render_image", fail)
    assert len(synthetic_table(seed=12345)) > 600


def test_unknown_file_is_reported_by_path():
    with pytest.raises(
        KeyError, match=r"Unknown synthetic file \(train/Melanoma/no\.jpg, seed 3\)"
    ):
        render_file("train/Melanoma/no.jpg", SEED)


@pytest.mark.parametrize(
    ("drawings", "codes"), [(dermoscopic.DRAW, ("NV", "MEL")), (clinical.DRAW, ("MKP", "CHP"))]
)
def test_acquisition_does_not_depend_on_the_diagnosis(monkeypatch, drawings, codes):
    for code in codes:
        monkeypatch.setitem(drawings, code, lambda *_: None)
    lesions = [Lesion("one key", diagnosis_of(code), "", tone=0.3) for code in codes]
    for number in range(1, 6):
        first, second = (render_image(lesion, number, SEED) for lesion in lesions)
        assert first == second


@pytest.mark.parametrize("code", ["BCC", "BKL", "MEL", "VASC", "CWP", "MKP"])
def test_images_of_one_lesion_are_more_similar_than_images_of_other_lesions(code):
    lesions = [Lesion(f"lesion {i}", diagnosis_of(code), "", tone=0.2) for i in range(12)]
    first, second = (
        np.array([center_color_quantiles(render_image(lesion, n, SEED)) for lesion in lesions])
        for n in (1, 2)
    )
    same_lesion = np.abs(first - second).mean()
    different_lesions = np.mean([np.abs(first - np.roll(second, k, axis=0)) for k in range(1, 12)])
    assert same_lesion < 0.8 * different_lesions


def test_every_diagnosis_has_patients_with_light_and_dark_skin():
    for diagnosis in DIAGNOSES:
        tones = {
            p.lesion.patient: p.lesion.tone
            for p in synthetic_images(SEED)
            if p.lesion.diagnosis == diagnosis
        }
        dark = np.mean([tone >= DARK for tone in tones.values()])
        assert 0.1 < dark < 0.4, diagnosis.name


def test_darker_skin_tones_are_drawn_darker():
    healthy = [
        p for p in synthetic_images(SEED) if p.lesion.diagnosis.code == "HEALTHY" and p.number == 1
    ]
    brightness = [thumbnail(p.file).mean() for p in healthy]
    assert np.corrcoef([p.lesion.tone for p in healthy], brightness)[0, 1] < -0.8
