import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skin_lesions.data.diagnoses import DIAGNOSES, diagnosis_of
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

SEED = 3
DARK = 0.5  # Fitzpatrick IV and above


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return synthetic_table(SEED)


def sound(table):
    return table[table["planted"].isna()]


def thumbnail(file, seed=SEED):
    image = Image.open(io.BytesIO(render_file(file, seed))).convert("RGB")
    return np.asarray(image.resize((16, 16), Image.Resampling.BOX), float)


def colours_in_the_middle(jpeg):
    """Quantiles of each channel: blind to turning and, nearly, to framing."""
    image = np.asarray(Image.open(io.BytesIO(jpeg)), float)
    rows, columns = (slice(n // 5, n - n // 5) for n in image.shape[:2])
    return np.quantile(image[rows, columns], np.linspace(0.05, 0.95, 10), axis=(0, 1))


def original_of(row, table):
    return sound(table)[lambda t: t["lesion"].eq(row.lesion)]["file"]


def test_holds_every_diagnosis_as_often_as_it_says(table):
    expected = {diagnosis.name: FILES[diagnosis.code] for diagnosis in DIAGNOSES}
    without_copies = table[~table["planted"].isin(["copy", "other_label"])]
    assert without_copies["label"].value_counts().to_dict() == expected


@pytest.mark.parametrize("seed", range(5))
def test_every_diagnosis_has_enough_patients_to_be_split_and_stands_in_every_split(seed):
    table = sound(synthetic_table(seed))
    patients = table["lesion"].str.rpartition("_")[0].groupby(table["label"]).nunique()
    assert patients.min() >= 12
    assert table.groupby("label")["original_split"].nunique().eq(3).all()


def test_no_two_files_have_one_name():
    for seed in range(40):
        names = [picture.name for picture in synthetic_images(seed)]
        assert len(set(names)) == len(names), seed


def test_paths_say_split_and_label_as_the_table_does(table):
    split, label, _ = zip(*table["file"].str.split("/"), strict=True)
    assert list(split) == table["original_split"].tolist()
    assert list(label) == table["label"].tolist()


def test_the_planted_faults_are_as_many_as_it_says(table):
    assert table["planted"].value_counts().to_dict() == {
        "copy": DUPLICATES_ACROSS_SPLITS + DUPLICATES_WITHIN_SPLIT,
        "other_label": len(WRONG_LABELS),
        "truncated": TRUNCATED,
    }


def test_pictures_of_one_lesion_lie_in_several_splits(table):
    splits = sound(table).groupby("lesion")["original_split"].nunique()
    assert (splits > 1).sum() > 50


def test_photographs_have_no_metadata_and_a_key_in_their_name(table):
    is_photograph = table["label"].map(diagnosis_of).map(lambda d: d.image_kind == "photograph")
    columns = ["lesion_id", "patient_id", "age", "sex", "site"]
    assert table.loc[is_photograph, columns].isna().all(axis=None)
    assert table.loc[is_photograph, "file"].map(filename_key).notna().all()
    assert table.loc[~is_photograph, "file"].map(filename_key).isna().all()


def test_lesion_id_is_one_to_one_with_the_lesion_shown(table):
    known = table.dropna(subset="lesion_id")
    assert known.groupby("lesion_id")["lesion"].nunique().eq(1).all()
    assert known.groupby("lesion")["lesion_id"].nunique().eq(1).all()
    assert known["lesion_id"].nunique() > 200


@pytest.mark.parametrize("fault", ["copy", "other_label"])
def test_planted_copies_equal_a_file_of_the_same_lesion_byte_for_byte(table, fault):
    planted = table[table["planted"].eq(fault)]
    for row in planted.itertuples():
        candidates = [render_file(file, SEED) for file in original_of(row, table)]
        assert candidates.count(render_file(row.file, SEED)) == 1


def test_half_of_the_copies_cross_the_splits(table):
    copies = table[table["planted"].eq("copy")]
    assert copies["original_split"].ne("train").sum() == DUPLICATES_ACROSS_SPLITS


def test_a_copy_under_another_label_keeps_what_it_shows(table):
    code_of = {diagnosis.name: diagnosis.code for diagnosis in DIAGNOSES}
    torn = table[table["planted"].eq("other_label")]
    shown = torn["lesion"].str.split("_").str[0]
    given = torn["label"].map(code_of)
    assert sorted(zip(shown, given, strict=True)) == sorted(WRONG_LABELS)


def test_the_truncated_file_begins_as_a_jpeg_and_does_not_decode(table):
    (file,) = table.loc[table["planted"].eq("truncated"), "file"]
    image = Image.open(io.BytesIO(render_file(file, SEED)))
    with pytest.raises(OSError, match="truncated"):
        image.load()


def test_the_same_file_and_seed_give_the_same_bytes_in_any_thread_and_after_pickling(table):
    files = sound(table).groupby("label")["file"].first().tolist()
    alone = [render_file(file, SEED) for file in files]
    draw = pickle.loads(pickle.dumps(partial(render_file, seed=SEED)))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, files)) == alone


def test_another_seed_gives_other_pictures():
    lesions = [{p.lesion.key: p for p in synthetic_images(seed)}["NV_01_01"] for seed in (1, 2)]
    first, second = (thumbnail(p.file, seed) for p, seed in zip(lesions, (1, 2), strict=True))
    assert np.abs(first - second).mean() > 5


def test_the_table_draws_nothing(monkeypatch):
    def refuse(*_):
        raise AssertionError("drew a picture")

    monkeypatch.setattr("skin_lesions.data.sources.synthetic.render_image", refuse)
    assert len(synthetic_table(seed=12345)) > 600


def test_an_unknown_file_is_named():
    with pytest.raises(KeyError, match=r"train/Melanoma/no\.jpg is not among the demo files"):
        render_file("train/Melanoma/no.jpg", SEED)


@pytest.mark.parametrize(
    ("drawings", "codes"), [(dermoscopic.DRAW, ("NV", "MEL")), (clinical.DRAW, ("MKP", "CHP"))]
)
def test_the_camera_does_not_know_the_diagnosis(monkeypatch, drawings, codes):
    for code in codes:
        monkeypatch.setitem(drawings, code, lambda *_: None)
    lesions = [Lesion("one key", diagnosis_of(code), "", tone=0.3) for code in codes]
    for number in range(1, 6):
        first, second = (render_image(lesion, number, SEED) for lesion in lesions)
        assert first == second


@pytest.mark.parametrize("code", ["BCC", "BKL", "MEL", "VASC", "CWP", "MKP"])
def test_pictures_of_one_lesion_are_closer_than_those_of_another_like_it(code):
    lesions = [Lesion(f"lesion {i}", diagnosis_of(code), "", tone=0.2) for i in range(12)]
    first, second = (
        np.array([colours_in_the_middle(render_image(lesion, n, SEED)) for lesion in lesions])
        for n in (1, 2)
    )
    of_same = np.abs(first - second).mean()
    of_different = np.mean([np.abs(first - np.roll(second, k, axis=0)) for k in range(1, 12)])
    assert of_same < 0.8 * of_different


def test_every_diagnosis_has_people_with_light_and_with_dark_skin():
    for diagnosis in DIAGNOSES:
        people = {
            p.lesion.patient: p.lesion.tone
            for p in synthetic_images(SEED)
            if p.lesion.diagnosis == diagnosis
        }
        dark = np.mean([tone >= DARK for tone in people.values()])
        assert 0.1 < dark < 0.4, diagnosis.name


def test_dark_skin_is_drawn_darker():
    healthy = [
        p for p in synthetic_images(SEED) if p.lesion.diagnosis.code == "HEALTHY" and p.number == 1
    ]
    brightness = [thumbnail(p.file).mean() for p in healthy]
    assert np.corrcoef([p.lesion.tone for p in healthy], brightness)[0, 1] < -0.8
