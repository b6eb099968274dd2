import base64
import re
from functools import cache
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from skin_lesions.reporting.html_report import render_report
from support.report_inputs import WEIRD, Inputs, fourteen, twenty_three, two

# The smallest PNG: one pixel; its header says 1 x 1.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FIGURES = ("sample_images", "loss_curves", "confusion_matrix", "per_class_recall")
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a browser would make of a page: tags in order, text, and text by section."""

    def __init__(self, html: str):
        super().__init__()
        self.html, self.tags, self.open = html, [], []
        self.words: list[str] = []
        self.section: dict[str, list[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(SimpleNamespace(name=tag, **{"attrs": dict(attrs)}))
        if tag not in VOID:
            self.open.append(self.tags[-1])

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop().name == tag

    def handle_data(self, data):
        if not data.strip() or (self.open and self.open[-1].name == "style"):
            return
        self.words.append(data.strip())
        for tag in self.open:
            if tag.name == "section":
                self.section.setdefault(tag.attrs["id"], []).append(data.strip())

    def text(self, section: str | None = None) -> str:
        words = self.words if section is None else self.section[section]
        return re.sub(r"\s+", " ", " ".join(words).replace("\u00a0", " "))

    def named(self, tag: str) -> list[SimpleNamespace]:
        return [t for t in self.tags if t.name == tag]


def page(inputs: Inputs, **changes) -> Page:
    arguments = {"figures": dict.fromkeys(FIGURES, PNG), **inputs.for_page(), **changes}
    made = Page(render_report(**arguments))
    assert not made.open, f"left open: {[tag.name for tag in made.open]}"
    return made


@cache
def study(name: str) -> Inputs:
    return {
        "fourteen": fourteen,
        "synthetic": lambda: two(synthetic=True),
        "two": lambda: two(unreadable=0),
        "original": lambda: two(policy="original"),
        "weird": lambda: twenty_three(unreadable=300),
    }[name]()


@cache
def shown(name: str) -> Page:
    return page(study(name))


def estimate(e: dict, scale: int) -> tuple[str, str]:
    digits, unit = (1, " %") if scale == 100 else (3, "")
    value, low, high = (f"{scale * e[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value}{unit}", f"{low} to {high}{unit}"


@pytest.mark.parametrize("name", ["fourteen", "synthetic", "two", "original", "weird"])
def test_the_page_runs_nothing_and_loads_nothing(name):
    made = shown(name)
    assert {tag.name for tag in made.tags}.isdisjoint(
        {"script", "link", "iframe", "object", "embed", "form", "base", "svg", "b"}
    )
    for tag in made.tags:
        assert not any(key.startswith("on") for key in tag.attrs), tag
        assert tag.attrs.get("href", "#").startswith("#")
        assert tag.attrs.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    assert "<script" not in made.html.lower()
    assert not re.search(r"url\(|@import|https?://", made.html)


def test_a_policy_in_the_page_forbids_what_the_page_does_not_do():
    policies = [t for t in shown("two").named("meta") if t.attrs.get("http-equiv")]
    assert policies[0].attrs["http-equiv"] == "Content-Security-Policy"
    assert policies[0].attrs["content"].startswith("default-src 'none'")


@pytest.mark.parametrize("label", WEIRD)
def test_class_names_are_shown_as_they_are(label):
    assert label in shown("weird").section["classes"]


def test_names_and_reasons_of_files_are_shown_as_they_are():
    words = shown("weird").section["quarantine"]
    assert "train/<b>1</b>/broken_1.jpg" in words
    assert "damaged or truncated: <img src=x>" in words


def test_alternative_texts_with_quotes_and_brackets_stay_in_their_attribute():
    inputs = Inputs(['"><script>alert(1)</script>', "'\"& onload=x"], [20, 300])
    images = page(inputs, figures={"class_counts": PNG}).named("img")
    alts = [tag.attrs["alt"] for tag in images]
    assert any('"><script>alert(1)</script>' in alt for alt in alts)


def test_generated_images_are_announced_before_anything_else():
    said = "Generated images: these numbers say nothing about real skin."
    words = shown("synthetic").words
    assert words.index(said) == 1  # after the title of the window
    assert words[0].startswith("Generated images")
    assert said not in shown("two").words
    assert "Generated" not in shown("two").text()


@pytest.mark.parametrize("where", ["model", "metrics"])
def test_one_of_model_and_metrics_is_enough_to_say_generated(where):
    inputs = two(synthetic=True)
    model, metrics = inputs.model, inputs.metrics
    if where == "model":
        metrics = {**metrics, "provenance": {**metrics["provenance"], "synthetic_images": False}}
    else:
        model = {**model, "synthetic_images": False}
    assert "Generated images: these" in page(inputs, model=model, metrics=metrics).text()


def test_every_page_says_that_it_is_no_medical_device():
    assert "Research software, not a medical device." in shown("two").words


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize(
    ("key", "scale"),
    [
        ("accuracy", 100),
        ("balanced_accuracy", 100),
        ("macro_f1", 1),
        ("auroc_macro", 1),
        ("log_loss", 1),
        ("brier", 1),
        ("expected_calibration_error", 1),
    ],
)
def test_numbers_and_intervals_are_those_of_the_metrics(part, key, scale):
    value, interval = estimate(study("fourteen").metrics[part][key], scale)
    assert f"{value} {interval}" in shown("fourteen").text("result")


def test_malignancy_is_told_with_its_numbers_and_what_is_left_out():
    part = study("weird").metrics["test"]["malignant"]
    text = shown("weird").text("result")
    for key, scale in (("sensitivity", 100), ("specificity", 100), ("auroc", 1)):
        assert " ".join(estimate(part[key], scale)) in text
    assert all(label in text for label in part["classes"] + part["excluded_classes"])


def test_no_word_of_malignancy_where_no_class_is_known_to_be_malignant():
    assert "Malignant or not" not in page(Inputs(["cats", "dogs"], [40, 40])).text()


def test_each_class_has_its_counts_and_estimates():
    inputs = study("fourteen")
    row = inputs.metrics["test"]["per_class"]["Melanoma"]
    counts = inputs.split_table.query("label == 'Melanoma'")["split"].value_counts()
    said = [str(counts[split]) for split in ("train", "val", "test")] + [str(row["correct"])]
    for key, scale in (("recall", 100), ("precision", 100), ("f1", 1), ("auroc", 1)):
        said += estimate(row[key], scale)
    assert f"Melanoma malignant {' '.join(said)}" in shown("fourteen").text("classes")


def test_what_can_not_be_computed_is_a_dash_with_its_reason():
    text = shown("weird").text("classes")
    assert f"{WEIRD[0]} 9 1 0 0 – no images of this class" in text
    titles = [tag.attrs.get("title") for tag in shown("weird").named("span")]
    assert "no images of this class" in titles


def test_parts_of_a_shipped_test_split_are_shown_where_they_are():
    inputs = study("original")
    leaked = {**inputs.metrics["validation"], "n": 4321}
    made = page(inputs, metrics={**inputs.metrics, "test_leaked": leaked, "test_clean": leaked})
    assert "Leaked test images only 4,321 images" in made.text("result")
    assert "Test without leaked images 4,321 images" in made.text("result")
    assert "Leaked" not in shown("original").text("result")


def test_the_split_is_told_with_its_counts_and_leaks():
    inputs, text = study("fourteen"), shown("fourteen").text("split")
    for split, name in (("train", "training"), ("val", "validation"), ("test", "test")):
        rows = inputs.split_table[inputs.split_table["split"] == split]
        groups, classes = rows["group_id"].nunique(), rows["label"].nunique()
        assert f"{name} {len(rows):,} {groups:,} {classes}" in text
    test = inputs.split_table.query("split == 'test'")
    assert f"{len(test)} files used that came as test, {test['is_leaked'].sum()} (" in text


def test_as_shipped_warns_and_grouped_does_not():
    assert "the numbers are too good" in shown("original").text("split")
    assert "too good" not in shown("two").text("split")


def test_data_without_a_shipped_split_say_so():
    table = study("two").split_table.assign(original_split=None)
    assert "The data came without a split." in page(study("two"), split_table=table).text("split")


def test_findings_stand_gravest_first_with_sentence_examples_and_remedy():
    finding = {"id": "x", "count": 2, "details": {}, "recommendation": "do <this>"}
    findings = [
        {**finding, "severity": s, "message": f"{s} one", "examples": [["a.jpg", "<b>.jpg"], "c"]}
        for s in ("info", "low", "high", "medium")
    ]
    made = page(study("two"), audit_findings=study("two").audit_findings | {"findings": findings})
    words = made.section["audit"]
    order = [words.index(f"{s} one") for s in ("high", "medium", "low", "info")]
    assert order == sorted(order)
    assert {"a.jpg", "<b>.jpg", "c", "do <this>"} <= set(words)


def test_every_probe_stands_in_a_table_with_its_chance():
    inputs = study("two")
    words = page(inputs).section["audit"]
    for probe in inputs.audit_findings["shortcut_probes"]:
        assert any(probe["name"] in word for word in words)
    measured = [p for p in inputs.audit_findings["shortcut_probes"] if p["chance"] is not None]
    assert {f"{p['chance']:.3f}" for p in measured} <= set(words)


def test_the_largest_groups_are_told():
    findings = study("two").audit_findings
    summary = findings["summary"] | {"largest_groups": [71, 3, 2]}
    made = page(study("two"), audit_findings=findings | {"summary": summary})
    assert "71, 3, 2 files" in made.text("audit")


def test_no_findings_are_told_with_what_was_looked_for():
    made = page(study("two"), audit_findings=study("two").audit_findings | {"findings": []})
    assert "Nothing was found" in made.text("audit")


def test_figures_carry_their_bytes_their_finding_and_their_size():
    images = shown("two").named("img")
    assert len(images) == len(FIGURES)
    assert base64.b64decode(images[0].attrs["src"].split(",")[1]) == PNG
    assert images[0].attrs["alt"].startswith("Test: 92")  # the confusion matrix comes first
    assert all(len(tag.attrs["alt"]) > 10 for tag in images)
    assert (images[0].attrs["width"], images[0].attrs["height"]) == ("1", "1")


def test_a_figure_that_the_page_does_not_know_is_shown_too():
    made = page(study("two"), figures={"stress_test": PNG})
    assert [tag.attrs["alt"] for tag in made.named("img")] == ["stress test"]


def test_files_left_out_are_counted_and_the_first_fifty_shown():
    words = shown("weird").section["quarantine"]
    assert "300 files could not be used; the first 50 are shown," in shown("weird").text()
    assert sum(word.startswith("train/") for word in words) == 50
    assert "Every file could be used." in shown("two").words


@pytest.mark.parametrize("epochs", [1, 8])
def test_training_tells_recipe_epoch_time_and_temperature(epochs):
    text = page(two(epochs=epochs)).text("training")
    took = "42 s" if epochs == 1 else "5 min 32 s"
    assert f"{epochs} epoch{'s' if epochs > 1 else ''} in {took}" in text
    assert "temperature 1.384" in text
    assert "optimizer learning rate 0.0003" in text
    assert "compile yes" in text
    assert "balanced while it learned (logit adjustment)" in text


def test_the_command_that_reproduces_names_the_versions():
    made_from = study("two").metrics["provenance"]
    versions = ",".join(
        f"{name}:{made_from[name + '_version']}"
        for name in ("model", "split_table", "image_table", "raw_images")
    )
    text = shown("two").text("reproduce")
    assert f'kedro run --pipelines evaluate,report --load-versions "{versions}"' in text
    assert made_from["split_fingerprint"] in text
    assert "torch 2.9.1" in text


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ({"kind": "kaggle", "dataset": "a/b", "version": 7}, "a/b on Kaggle, version 7"),
        ({"kind": "demo", "seed": 5}, "generated, seed 5"),
        ({"kind": "folder", "folder": "/home/me/mine"}, "the folder mine"),
        (None, "not recorded"),
    ],
)
def test_it_says_where_the_images_came_from_in_which_version(origin, words):
    model = study("two").model
    changed = {**model, "provenance": {**model["provenance"], "origin": origin}}
    assert f"Images from {words} Model" in page(study("two"), model=changed).text("reproduce")


def test_what_provenance_lacks_is_said_to_be_not_recorded():
    model = study("two").model
    lacking = {k: v for k, v in model["provenance"].items() if k not in ("device", "torchvision")}
    made = page(study("two"), model={**model, "provenance": lacking})
    assert "torchvision not recorded" in made.text("reproduce")


def test_licence_notes_are_shown_and_their_absence_too():
    assert "ISIC 2019: CC BY-NC 4.0 <b>" in shown("two").section["licences"]
    silent = page(study("two"), model={**study("two").model, "license_notes": []})
    assert "says nothing of the licence" in silent.text("licences")


def test_the_contents_lead_to_sections_that_are_there():
    made = shown("two")
    targets = {tag.attrs["href"].removeprefix("#") for tag in made.named("a")}
    assert targets == {tag.attrs["id"] for tag in made.named("section")}
