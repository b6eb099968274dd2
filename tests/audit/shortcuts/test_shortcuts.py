import json
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skin_lesions.audit.shortcuts.classifiers import lda_predict, naive_bayes_predict
from skin_lesions.audit.shortcuts.findings import shortcut_findings
from skin_lesions.audit.shortcuts.probes import probe_shortcuts, sampled
from skin_lesions.core.errors import InputError
from skin_lesions.data.decoding import DecodedImage
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.data.raw_store import ObjectStore
from support.factories import encoded
from support.imagesets import store_images

pytestmark = pytest.mark.slow

IMAGE_SIZE = 32


class Study:
    """Noise images in three classes of 40 images each; tests add shortcuts to them."""

    def __init__(self, folder, classes=3, each=40, seed=0):
        self.folder, self.rng = folder, np.random.default_rng(seed)
        n = classes * each
        self.label = np.array([f"class {i % classes}" for i in range(n)])
        self.pixels = self.rng.integers(40, 200, (n, IMAGE_SIZE, IMAGE_SIZE, 3)).astype(np.uint8)
        self.group = [f"g{i}" for i in range(n)]
        self.columns, self.quality, self.source = {}, [80] * n, ["s"] * n

    @property
    def n(self):
        return len(self.label)

    def is_class(self, number):
        return self.label == f"class {number}"

    def table(self):
        store, ids, sizes = ObjectStore(self.folder / "objects"), [], []
        for square, quality in zip(self.pixels, self.quality, strict=True):
            data = encoded(Image.fromarray(square), "JPEG", quality=quality)
            ids.append(store.put(data)[0])
            sizes.append(len(data))
        table = pd.DataFrame(
            {"file": [f"{i:04}.jpg" for i in range(self.n)], "image_id": ids, "label": self.label}
        )
        table = table.assign(original_split=None, source=self.source, filename_key=None)
        table = table.assign(
            width=IMAGE_SIZE, height=IMAGE_SIZE, bytes=sizes, format="JPEG", lesion_id=None
        )
        return table.assign(**self.columns), store

    def images(self, table):
        images = PixelArray(Path(mkdtemp(dir=self.folder)), IMAGE_SIZE)
        squares = dict(zip(table["image_id"], self.pixels, strict=True))
        ids = sorted(squares)  # not the order of the files
        store_images(
            images, {i: DecodedImage(squares[i], IMAGE_SIZE, IMAGE_SIZE, "JPEG") for i in ids}
        )
        return images

    def probes(self, sample=4000, order=None, **changes):
        table, store = self.table()
        images = self.images(table)
        table = table.assign(group_id=self.group, pixel_id=table["image_id"])
        table = table if order is None else table.iloc[order]
        settings = {"sample": sample, "seed": 0, "replicates": 200} | changes
        return probe_shortcuts(table, images, store, **settings)


@pytest.fixture
def study(tmp_path):
    return lambda **changes: Study(tmp_path, **changes)


def find_probe(probes, kind, name=None, scope="all"):
    (found,) = [
        p for p in probes if p.kind == kind and p.scope == scope and name in (None, *p.columns)
    ]
    return found


def findings_by_id(probes):
    return {finding.id: finding for finding in shortcut_findings(probes)}


def test_noise_predicts_nothing_and_raises_no_finding(study):
    s = study()
    s.columns = {
        "age": s.rng.normal(50, 15, s.n),
        "sex": s.rng.choice(["f", "m", None], s.n),
    }
    probes = s.probes()
    assert shortcut_findings(probes) == []
    kinds = [probe.kind for probe in probes]
    assert kinds == ["files", "thumbnail", "border", "column", "column", "missingness"]
    assert all(probe.accuracy.low < probe.chance for probe in probes)


def test_intervals_of_noise_have_about_their_nominal_coverage_of_chance(tmp_path):
    above = below = probed = 0
    for seed in range(2):  # few studies with many columns: each study takes a second to draw
        s = Study(tmp_path / str(seed), each=30, seed=seed)
        s.columns = {f"noise {i}": s.rng.choice(list("abcd"), s.n) for i in range(33)}
        s.columns |= {f"number {i}": s.rng.normal(size=s.n) for i in range(33)}
        probes = s.probes()
        assert shortcut_findings(probes) == []
        for probe in probes:
            if probe.accuracy.value is not None:
                probed += 1
                above += probe.accuracy.low > probe.chance
                below += probe.accuracy.high < probe.chance
    assert probed > 130
    assert above <= 0.05 * probed  # 2.5 % are expected on this side


def test_chance_is_one_over_the_number_of_classes_for_all_class_sizes(study):
    s = study(each=20)
    s.label[:30] = "class 0"  # 40 images; the other classes have 10 each
    assert {probe.chance for probe in s.probes()} == {1 / 3}
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2, 3], [400, 100, 60, 40])
    recalls = []
    for _ in range(60):
        codes, values = rng.integers(0, 5, (600, 2)), rng.normal(size=(600, 5)).astype(np.float32)
        train = rng.random(600) < 0.7
        for classify, x in ((naive_bayes_predict, codes), (lda_predict, values)):
            correct = classify(x[train], label[train], x[~train]) == label[~train]
            recalls.append([correct[label[~train] == c].mean() for c in range(4)])
    assert np.mean(recalls) == pytest.approx(0.25, abs=0.015)


@pytest.mark.parametrize("kind", [np.intp, np.float32])
def test_rare_class_is_predicted_where_it_is_relatively_more_frequent(kind):
    label = np.repeat([0, 1], [1000, 50])
    value = np.concatenate([np.arange(1000) % 10 == 0, np.arange(50) % 10 < 6])[:, None]
    classify = naive_bayes_predict if kind is np.intp else lda_predict
    assert classify(value.astype(kind), label, np.array([[0], [1]], kind)).tolist() == [0, 1]


def test_level_that_is_absent_from_the_training_images_is_rare_and_not_impossible():
    # The second column names class 1, but its level 2 was never seen.
    codes = np.array([[0, 0], [0, 0], [1, 1], [1, 1]])
    new = np.array([[1, 2], [0, 2]])
    assert naive_bayes_predict(codes, np.array([0, 0, 1, 1]), new).tolist() == [1, 0]


def test_level_that_is_absent_from_one_class_is_rare_in_it_and_not_impossible():
    label = np.repeat([0, 1], 20)
    codes = np.stack([label, label], axis=1)
    codes[21:, 0] = 0  # one image of class 1 has level 1 in the first column
    codes[20:24, 1] = 0
    # The first column slightly suggests class 1, the second one clearly class 0.
    assert naive_bayes_predict(codes, label, np.array([[1, 0]])).tolist() == [0]


def test_class_saved_at_another_quality_is_found_by_its_compression(study):
    s = study()
    s.quality = np.where(s.is_class(1), 60, 80).tolist()
    probes = s.probes()
    probe = find_probe(probes, "files")
    assert probe.accuracy.low > 0.5
    assert probe.recalls["class 1"] == 1.0
    assert probe.parts["compression"] == pytest.approx(2 / 3, abs=0.03)
    assert probe.parts["size"] == pytest.approx(1 / 3)
    finding = findings_by_id(probes)["shortcut_files"]
    assert finding.severity == "high"
    assert finding.examples[0] == ["class 1", "recall 100 %"]


def test_colored_border_is_found_by_the_border_probe(study):
    s = study()
    s.pixels[s.is_class(2), :2] = (220, 30, 30)
    probes = s.probes()
    assert find_probe(probes, "border").recalls["class 2"] > 0.95
    assert findings_by_id(probes)["shortcut_border"].severity == "high"


def test_color_in_the_center_is_found_only_by_the_thumbnail(study):
    s = study()
    s.pixels[s.is_class(2), 8:24, 8:24, 0] = 240
    probes = s.probes()
    assert find_probe(probes, "thumbnail").accuracy.low > 0.4
    assert "shortcut_border" not in findings_by_id(probes)
    assert findings_by_id(probes)["shortcut_thumbnail"].severity == "low"


def test_column_that_predicts_the_label_is_reported_by_name(study):
    s = study()
    s.columns = {"clinic": np.where(s.is_class(0), "north", "south"), "noise": s.rng.random(s.n)}
    findings = findings_by_id(s.probes())
    assert set(findings) == {"shortcut_column_clinic"}
    finding = findings["shortcut_column_clinic"]
    assert finding.severity == "medium"  # the network does not see it
    assert "'clinic'" in finding.message
    assert finding.details["balanced_accuracy"] == pytest.approx(2 / 3)
    assert finding.details["ceiling"] == pytest.approx(2 / 3)


def test_texts_that_name_the_diagnosis_are_a_finding_with_their_terms(study):
    s = study()
    notes = ["patient noticed a dark lesion", "lesion grows on the back", "itches since summer"]
    written = [f"{note}, visit {i}" for i, note in enumerate(s.rng.choice(notes, s.n))]
    proven = [f"{note}, biopsy proven" for note in written]
    s.columns = {
        "note": np.where(s.is_class(0), proven, written),
        "other": s.rng.permutation(written),
        "metadata_file": [f"{label} x/{i}.jpg" for i, label in enumerate(s.label)],
        "code": [f"{label[-1]}code{i}" for i, label in enumerate(s.label)],
    }
    findings = findings_by_id(s.probes())
    assert set(findings) == {"shortcut_text_note"}
    finding = findings["shortcut_text_note"]
    assert "the words of 'note' alone" in finding.message
    label, recall, terms = finding.examples[0]
    assert (label, recall) == (sorted(set(s.label))[0], "recall 100 %")
    assert {"biopsy", "proven"} & set(terms.removeprefix("terms ").split(", "))


def test_missingness_is_separate_from_the_values_of_the_column(study):
    s = study()
    s.columns = {"sex": np.where(s.is_class(0), None, s.rng.choice(["f", "m"], s.n))}
    findings = findings_by_id(s.probes())
    assert set(findings) == {"shortcut_missingness"}
    assert findings["shortcut_missingness"].severity == "medium"  # the network does not see it
    assert "'sex'" in findings["shortcut_missingness"].message


def test_unknown_as_text_is_missing_and_the_other_values_are_numbers(study):
    s = study()
    ages = (20 + 20 * np.array([int(name[-1]) for name in s.label])).astype(str)
    s.columns = {"age": np.where(s.rng.random(s.n) < 0.2, "unknown", ages)}
    probes = s.probes()
    assert find_probe(probes, "missingness", "age").accuracy.low < 1 / 3
    assert find_probe(probes, "column", "age").accuracy.value == pytest.approx(
        0.8 + 0.2 / 3, abs=0.07
    )


def test_columns_with_the_same_missing_rows_are_one_probe(study):
    s = study()
    missing_rows = s.rng.random(s.n) < 0.5
    s.columns = {name: np.where(missing_rows, None, "x") for name in ("sex", "site")}
    missing = [probe for probe in s.probes() if probe.kind == "missingness"]
    assert [probe.columns for probe in missing] == [("sex", "site")]


def test_columns_that_cannot_be_probed_have_a_reason(study):
    s = study()
    s.columns = {
        "empty": None,
        "constant": "x",
        "name": [f"image {i}" for i in range(s.n)],
        "diagnosis": np.char.upper(s.label),
    }
    reasons = {p.name: p.accuracy.reason for p in s.probes() if p.kind == "column"}
    assert reasons == {
        "empty": "the column is empty",
        "constant": "the column has only one value",
        "name": "no value occurs in 5 groups: the column identifies single images",
        "diagnosis": "the column repeats the label",
    }


def test_value_of_many_images_of_few_groups_is_rare(study):
    s = study(each=20)
    # 30 groups of two images each. The value "a" occurs in 8 images of 4 groups.
    s.group = [f"g{i // 2}" for i in range(s.n)]
    s.columns = {"device": np.where(np.arange(s.n) < 8, "a", None)}
    (device,) = [p for p in s.probes() if p.kind == "column"]
    assert device.accuracy.reason == (
        "no value occurs in 5 groups: the column identifies single images"
    )


def test_mixed_columns_are_probed_as_text(study):
    s = study()
    cells = [1, "a", None, True, 2.5, "b"]
    s.columns = {"mixed": pd.Series([cells[i % 6] for i in range(s.n)], dtype=object)}
    assert find_probe(s.probes(), "column", "mixed").accuracy.value is not None


def test_near_duplicates_in_one_group_do_not_inflate_a_score(study):
    # Thirty lesions with eight nearly equal images each: an image-wise split would leak them all.
    s = study(each=80)
    lesion = np.arange(s.n) // 3 // 8 * 3 + np.arange(s.n) % 3
    s.pixels = s.pixels[lesion]
    s.pixels[:, 0, 0] = s.rng.integers(0, 255, (s.n, 3))
    ungrouped = find_probe(s.probes(), "thumbnail").accuracy.value
    s.group = [f"g{i}" for i in lesion]
    grouped = find_probe(s.probes(), "thumbnail").accuracy
    assert ungrouped > 0.9
    assert grouped.low < 1 / 3
    assert grouped.value < 0.5


def test_probes_do_not_depend_on_the_order_of_rows(study):
    s = study(each=20)
    s.columns = {"site": s.rng.choice(["arm", "leg", None], s.n)}
    first = [probe.result() for probe in s.probes(sample=45)]
    again = [probe.result() for probe in s.probes(sample=45, order=s.rng.permutation(s.n))]
    assert first == again


def test_sample_is_balanced_and_takes_every_lesion_before_a_second_image():
    label = np.repeat(["rare", "some", "many"], [6, 60, 200])
    table = pd.DataFrame({"label": label, "file": [f"{i:03}" for i in range(266)]})
    # Two images of each lesion, except that one lesion has 140 of the 200 images of its class.
    table["group_id"] = [f"g{min(i // 2, 63)}" for i in range(266)]
    chosen = sampled(table, 66, seed=0)
    assert chosen["label"].value_counts().to_dict() == {"rare": 6, "some": 30, "many": 30}
    lesions = chosen.groupby("label")["group_id"].nunique()
    assert lesions.to_dict() == {"rare": 3, "some": 30, "many": 30}


def test_exact_duplicates_count_once_and_images_with_conflicting_labels_are_left_out(study):
    s = study()
    s.pixels[3] = s.pixels[0]  # both of class 0
    s.pixels[7] = s.pixels[8]  # of classes 1 and 2
    assert find_probe(s.probes(), "thumbnail").accuracy.n == s.n - 3


def test_too_few_images_are_reported_and_not_probed(study):
    probes = study(classes=2, each=3).probes()
    assert {p.accuracy.reason for p in probes} == {
        "not enough images: two classes with 5 groups each are required"
    }
    assert probes[0].excluded_classes == ("class 0", "class 1")
    assert shortcut_findings(probes) == []
    entries = [probe.result().model_dump(mode="json") for probe in probes]
    json.dumps(entries, allow_nan=False)


def test_classes_with_few_groups_are_excluded_and_listed(study):
    s = study()
    s.group = ["one" if rare else g for rare, g in zip(s.is_class(1), s.group, strict=True)]
    probe = find_probe(s.probes(), "thumbnail")
    assert probe.excluded_classes == ("class 1",)
    assert probe.chance == 0.5


def test_shortcut_within_one_source_is_reported_for_that_source(study):
    s = study(each=80)
    s.source = s.rng.choice(["a", "b"], s.n)
    s.pixels[(s.source == "a") & s.is_class(0), :2] = 255
    probes = s.probes()
    scopes = list(dict.fromkeys(probe.scope for probe in probes))
    assert scopes == ["all", "within a", "within b", "from a to b", "from b to a"]
    assert find_probe(probes, "border", scope="within a").recalls["class 0"] > 0.95
    assert find_probe(probes, "border", scope="within b").accuracy.low < 1 / 3
    assert find_probe(probes, "border", scope="from a to b").accuracy.low < 1 / 3
    assert findings_by_id(probes)["shortcut_border"].message.startswith(
        "Within a, from the outermost"
    )


def test_across_sources_no_group_is_in_both_training_and_test(study):
    s = study(each=20)
    s.source = np.where(np.arange(s.n) < s.n // 2, "a", "b")
    s.group = [f"g{i % (s.n // 2)}" for i in range(s.n)]  # each lesion in both
    assert not [probe for probe in s.probes() if probe.scope.startswith("from")]


def test_image_kinds_are_probed_separately_if_there_is_one_source(study):
    s = study(classes=4)
    names = ["Melanoma", "Nevus", "Chickenpox", "Measles"]
    s.label = np.array([names[i % 4] for i in range(s.n)])
    assert {p.scope for p in s.probes()} == {"all", "within dermoscopy", "within photograph"}


def test_missing_raw_image_is_an_error_with_a_fix(study):
    s = study()
    table, store = s.table()
    store.path(table["image_id"][7]).unlink()
    images = s.images(table)
    table = table.assign(group_id=s.group, pixel_id=table["image_id"])
    with pytest.raises(InputError, match="--pipelines ingest"):
        probe_shortcuts(table, images, store, sample=4000, seed=0, replicates=100)
