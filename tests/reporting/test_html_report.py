import base64
import hashlib
import io
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from skin_lesions.audit.finding import SEVERITIES
from skin_lesions.core.versions import StoredVersions
from skin_lesions.data.provenance import Origin
from skin_lesions.evaluation.comparison import compare_predictions
from skin_lesions.evaluation.scorecard import SplitMetrics
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.reporting.blocks import Cell, Column, Table
from skin_lesions.reporting.html_report import render_report
from skin_lesions.reporting.sections.registry import SECTIONS
from support.report_inputs import (
    LICENSE_NOTE,
    PNG,
    REPORT,
    SPLIT_FINGERPRINT,
    UNUSUAL_NAMES,
    Study,
    finding,
    fourteen_classes,
    twenty_three_classes,
    two_classes,
    with_frame,
    with_leaky_weights,
    with_provenance,
)

FIGURES = ("sample_images", "loss_curves", "confusion_matrix", "per_class_recall")
VOID = {"meta", "img", "br"}
IMAGE_URL = re.compile(r"data:image/(png|webp);base64,")


class Page(HTMLParser):
    """A page as a browser parses it: tags in order, text, and text by section."""

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
        if not data.strip() or (self.open and self.open[-1].name in ("style", "script")):
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


def render(study: Study, figures: tuple[str, ...] = FIGURES, **changes) -> Page:
    arguments = vars(study.report_inputs()) | changes
    rendered = Page(render_report(**arguments, **dict.fromkeys(figures, PNG)))
    assert not rendered.open, f"left open: {[tag.name for tag in rendered.open]}"
    return rendered


@cache
def inputs_of(name: str) -> Study:
    return {
        "fourteen": fourteen_classes,
        "synthetic": lambda: two_classes(synthetic=True),
        "two": lambda: two_classes(unreadable=0),
        "original": lambda: two_classes(policy="original"),
        "unusual": lambda: twenty_three_classes(unreadable=300),
    }[name]()


@cache
def rendered_page(name: str) -> Page:
    return render(inputs_of(name))


def estimate(e: Estimate, scale: int) -> tuple[str, str]:
    digits, unit = (1, " %") if scale == 100 else (3, "")
    value, low, high = (f"{scale * number:.{digits}f}" for number in (e.value, e.low, e.high))
    return f"{value}{unit}", f"{low} to {high}{unit}"


@pytest.mark.parametrize("name", ["fourteen", "synthetic", "two", "original", "unusual"])
def test_report_loads_no_resources_and_has_only_its_own_script(name):
    rendered = rendered_page(name)
    assert {tag.name for tag in rendered.tags}.isdisjoint(
        {"link", "iframe", "object", "embed", "form", "base", "svg", "b"}
    )
    for tag in rendered.tags:
        assert not any(key.startswith("on") for key in tag.attrs), tag
        assert "style" not in tag.attrs, "the policy blocks style attributes"
        assert tag.attrs.get("href", "#").startswith("#")
        assert IMAGE_URL.match(tag.attrs.get("src", "data:image/png;base64,"))
    assert len(rendered.named("script")) == 1
    assert not re.search(r"url\(|@import|https?://", rendered.html)


def test_content_security_policy_allows_only_the_script_and_the_style_of_the_report():
    rendered = rendered_page("unusual")
    (policy,) = (t for t in rendered.named("meta") if t.attrs.get("http-equiv"))
    assert policy.attrs["http-equiv"] == "Content-Security-Policy"
    rules = dict(rule.split(" ", 1) for rule in policy.attrs["content"].split("; "))
    assert (rules["default-src"], rules["img-src"]) == ("'none'", "data:")
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", rendered.html, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


@pytest.mark.parametrize("label", UNUSUAL_NAMES)
def test_class_names_are_displayed_unchanged(label):
    assert label in rendered_page("unusual").section["results"]


def test_file_names_and_reasons_are_displayed_unchanged():
    words = rendered_page("unusual").section["data"]
    assert "train/<b>1</b>/broken_1.jpg" in words
    assert "damaged or truncated: <img src=x>" in words


def test_quotes_and_brackets_in_alternative_texts_do_not_end_the_attribute():
    study = Study(['"><script>alert(1)</script>', "'\"& onload=x"], [20, 300])
    images = render(study, figures=("class_counts",)).named("img")
    alts = [tag.attrs["alt"] for tag in images]
    assert any('"><script>alert(1)</script>' in alt for alt in alts)


def test_synthetic_images_are_announced_at_the_top():
    expected = "Synthetic images: these numbers say nothing about real skin."
    words = rendered_page("synthetic").words
    assert words.index(expected) == 1  # after the title of the document
    assert words[0].startswith("Synthetic images")
    assert expected not in rendered_page("two").words
    assert "Synthetic" not in rendered_page("two").text()


@pytest.mark.parametrize("where", ["model", "metrics"])
def test_report_is_synthetic_if_model_or_metrics_are_synthetic(where):
    inputs = two_classes(synthetic=True)
    model, metrics = inputs.model, inputs.metrics
    if where == "model":
        metrics = with_provenance(metrics, synthetic_images=False)
    else:
        model = with_provenance(model, origin=Origin(kind="folder", folder="/d"))
    assert "Synthetic images: these" in render(inputs, model=model, metrics=metrics).text()


def test_leakage_by_the_initial_weights_is_announced_at_the_top():
    inputs = two_classes()
    page = render(inputs, model=with_leaky_weights(inputs.model))
    assert page.words.index("Leakage by the initial weights.") < page.words.index("Results")
    expected = "selected on 7 test images and 1 validation image, or on images of their groups"
    assert expected in page.text()
    assert "Test images were not used" not in page.text()
    assert "Leakage by the initial weights" not in rendered_page("two").text()
    assert "Test images were not used for any selection" in rendered_page("two").text()


def test_report_states_that_it_is_not_a_medical_device():
    assert "Research software, not a medical device." in rendered_page("two").words


@pytest.mark.parametrize("subset", ["test", "validation"])
@pytest.mark.parametrize(
    ("key", "scale"),
    [
        ("accuracy", 100),
        ("balanced_accuracy", 100),
        ("macro_f1", 1),
        ("auroc_macro", 1),
        ("log_loss", 1),
        ("brier", 1),
    ],
)
def test_values_and_intervals_equal_the_metrics(subset, key, scale):
    value, interval = estimate(getattr(inputs_of("fourteen").metrics, subset)[key], scale)
    assert f"{value} {interval}" in rendered_page("fourteen").text("results")


def test_calibration_error_is_followed_by_its_range_by_chance_and_the_overconfidence():
    metrics = inputs_of("fourteen").metrics.test
    text = rendered_page("fourteen").text("results")
    error = metrics["expected_calibration_error"]
    assert f"{error.value:.3f} {error.reason}" in text
    by_chance = metrics.calibration.error_by_chance
    assert f"{by_chance.median:.3f} {by_chance.low:.3f} to {by_chance.high:.3f}" in text
    value, interval = estimate(metrics.calibration.overconfidence, 1)
    assert f"{value} {interval}" in text


@pytest.mark.parametrize(
    ("key", "name", "scale"),
    [
        ("accuracy", "Accuracy", 100),
        ("balanced_accuracy", "Balanced accuracy", 100),
        ("auroc_macro", "AUROC", 1),
    ],
)
def test_first_results_are_those_of_the_test_images(key, name, scale):
    inputs = fourteen_classes(policy="original")
    subsets = {"test_clean": inputs.metrics.test, "test_leaked": inputs.metrics.validation}
    inputs.metrics = inputs.metrics.model_copy(update=subsets)
    value, interval = estimate(inputs.metrics.test[key], scale)
    validation, _ = estimate(inputs.metrics.validation[key], scale)
    assert value != validation
    expected = f"{name} {value} 95 % interval: {interval} Validation {validation}"
    assert expected in render(inputs).text("summary")


def test_each_subset_has_its_own_column():
    inputs = fourteen_classes(policy="original")
    subsets = {"test_clean": with_n(inputs, 71), "test_leaked": with_n(inputs, 29)}
    metrics = inputs.metrics.model_copy(update=subsets)
    text = render(inputs, metrics=metrics).text("results")
    columns = [metrics.test.n, 71, 29, metrics.validation.n]
    names = ["Test", "Test without leaked images", "Leaked test images only", "Validation"]
    positions = [text.index(f"{name} {n} images") for name, n in zip(names, columns, strict=True)]
    assert positions == sorted(positions)


def with_n(inputs: Study, n: int) -> SplitMetrics:
    return inputs.metrics.validation.model_copy(update={"n": n})


def test_malignancy_metrics_and_excluded_classes_are_displayed():
    malignant = inputs_of("unusual").metrics.test.malignant
    text = rendered_page("unusual").text("results")
    for key, scale in (("sensitivity", 100), ("specificity", 100), ("auroc", 1)):
        assert " ".join(estimate(getattr(malignant, key), scale)) in text
    partial = inputs_of("unusual").malignancy.test.partial_auroc
    assert " ".join(estimate(partial, 1)) in text
    assert all(label in text for label in malignant.classes + malignant.excluded_classes)


def test_malignancy_is_left_out_if_no_class_is_known_to_be_malignant():
    assert "Malignant or benign" not in render(Study(["cats", "dogs"], [40, 40])).text()


def test_each_class_has_counts_and_estimates():
    inputs = inputs_of("fourteen")
    row = inputs.metrics.test.per_class["Melanoma"]
    counts = inputs.split_table.frame.query("label == 'Melanoma'")["split"].value_counts()
    expected = [str(counts[split]) for split in ("train", "val", "test")] + [str(row.correct)]
    for key, scale in (("recall", 100), ("precision", 100), ("f1", 1), ("auroc", 1)):
        expected += estimate(row[key], scale)
    assert f"Melanoma malignant {' '.join(expected)}" in rendered_page("fourteen").text("results")


def test_number_of_correct_images_is_that_of_the_test_split():
    metrics = inputs_of("fourteen").metrics
    correct = round(metrics.test.accuracy.value * metrics.test.n)
    validation = sum(row.correct for row in metrics.validation.per_class.values())
    assert correct != validation
    sentence = f"{correct} of {metrics.test.n} test images in {metrics.test.groups} groups are"
    assert f"{sentence} classified correctly" in rendered_page("fourteen").text("summary")
    wrong = f"{metrics.test.n - correct} of {metrics.test.n} test images"
    assert wrong in rendered_page("fourteen").text("errors")


def test_classes_without_test_images_are_named_at_the_top():
    absent = [
        n for n, entry in inputs_of("unusual").metrics.test.per_class.items() if not entry.support
    ]
    top = rendered_page("unusual").text("summary")
    assert f"{23 - len(absent)} of 23 classes evaluated (no images of {absent[0]}" in top
    assert "2 of 2 classes evaluated" in rendered_page("two").text("summary")


def test_missing_value_is_a_dash_with_its_reason():
    text = rendered_page("unusual").text("results")
    assert f"{UNUSUAL_NAMES[0]} 9 1 0 0 – no images of this class" in text


def shown(estimate_: Estimate, scale: int) -> str:
    """Return value and interval as a sentence contains them."""
    value, interval = estimate(estimate_, scale)
    return f"{value} [{interval}]"


def test_thresholds_have_sensitivity_specificity_and_predictive_values():
    text = rendered_page("fourteen").text("results")
    point = inputs_of("fourteen").malignancy.test.operating_points[0]
    first = f"{point.criterion} of {100 * point.target:g} %"
    reached = [point.sensitivity, point.specificity]
    predictive = [v.positive for v in point.predictive_values]
    predictive += [v.negative for v in point.predictive_values]
    rows = [" ".join(" ".join(estimate(e, 100)) for e in row) for row in (reached, predictive)]
    assert f"{first} {point.threshold:.3f} {rows[0]}" in text
    assert f"{first} {rows[1]}" in text
    assert "PPV at 5 % PPV at 20 % NPV at 5 % NPV at 20 %" in text


def test_reason_is_displayed_if_there_are_no_thresholds():
    malignancy = inputs_of("two").malignancy.model_copy(
        update={"no_operating_points": "other classes"}
    )
    text = render(inputs_of("two"), malignancy=malignancy).text("results")
    assert "No results at thresholds: other classes." in text


def test_largest_gap_of_each_column_is_displayed_with_its_correction():
    results = inputs_of("fourteen").slices
    text = rendered_page("fourteen").text("subgroups")
    columns = [column for column in results.columns if column.gaps]
    assert columns
    for column in columns:
        gap = column.gaps[0]
        assert f"for {gap.higher} and" in text
        assert f"The difference is {shown(gap.difference, 100)}." in text
        assert f"Allowing for {results.comparisons} comparison" in text


def test_prediction_sets_and_referral_are_described():
    test = inputs_of("fourteen").uncertainty.test
    text = rendered_page("fourteen").text("uncertainty")
    assert f"the coverage is {shown(test.conformal.overall.coverage, 100)}." in text
    referral = test.selective.referral
    assert f"{shown(referral.referred, 100)} of the test images are below it." in text
    assert f"an accuracy of {shown(referral.accuracy_answered, 100)}." in text
    sets = test.conformal.per_class["Melanoma"]
    assert f"Melanoma {sets.n} {' '.join(estimate(sets.coverage, 100))}" in text


def test_unknown_score_is_described_with_the_flagged_images():
    results = inputs_of("fourteen").unknown
    text = rendered_page("fourteen").text("uncertainty")
    assert f"and {shown(results.test, 100)} of the test images." in text


def test_attention_to_the_border_is_compared_with_its_area():
    findings = inputs_of("fourteen").model_findings
    fraction = Estimate(value=0.48, low=0.41, high=0.55, n=40)
    border = findings.border.model_copy(update={"fraction": fraction})
    changed = findings.model_copy(update={"border": border})
    text = render(inputs_of("two"), model_findings=changed).text("explanations")
    assert "48.0 % [41.0 to 55.0 %] of the Grad-CAM maps" in text
    assert "A constant map would have 36.0 % there." in text
    without = findings.model_copy(update={"reason": "no maps", "border": None})
    text = render(inputs_of("two"), model_findings=without).text("explanations")
    assert text == "Explanations There are no maps: no maps."


def test_findings_of_the_model_are_sorted_into_those_of_the_audit():
    of_model = finding("medium").model_copy(update={"message": "The model looks at the border."})
    inputs = inputs_of("two")
    findings = inputs.model_findings.model_copy(update={"findings": [of_model]})
    text = render(inputs, model_findings=findings).text("findings")
    messages = [finding("high").message, of_model.message, finding("low").message]
    positions = [text.index(message) for message in messages]
    assert positions == sorted(positions)


def test_robustness_has_a_row_per_corruption_and_strength_or_the_command_to_measure_it():
    results = inputs_of("fourteen").robustness
    text = rendered_page("fourteen").text("results")
    for corruption in results.corruptions:
        for score in corruption.scores:
            lost = " ".join(estimate(score.balanced_accuracy_lost, 100))
            assert lost in text
    disabled = results.model_copy(update={"measured": False, "corruptions": ()})
    text = render(inputs_of("two"), robustness=disabled).text("results")
    assert "evaluate.robustness.enabled=true" in text


def test_suspected_label_errors_are_counted_and_the_first_ones_are_listed():
    issues = inputs_of("fourteen").label_issues
    text = rendered_page("fourteen").text("errors")
    assert f"{len(issues)} labels of the validation and test images are suspected." in text
    assert all(file in text for file in issues["file"].head(10))
    assert issues["file"].iloc[10] not in text
    text = render(inputs_of("two"), label_issues=issues.head(0)).text("errors")
    assert "No label of the validation and test images is suspected." in text


def test_summary_states_how_often_the_test_split_was_evaluated():
    text = rendered_page("fourteen").text("summary")
    assert "This test split has been evaluated 1 time in this data root, with 1 model." in text


def test_selected_comparison_is_in_the_summary():
    predictions = inputs_of("two").predictions
    same = compare_predictions(
        predictions, predictions, sources=("a", "b"), is_paired=True, max_examples=1
    )
    stored = StoredVersions("comparison", ("V1",), {"V1": same}.__getitem__, Path.read_text)
    report = REPORT.model_copy(update={"comparison": "V1"})
    text = render(inputs_of("two"), report=report, stored_comparisons=stored).text("summary")
    assert "No difference shown: the 95 % interval contains zero." in text
    assert "No difference shown" not in rendered_page("two").text("summary")


def test_leaked_and_clean_test_images_are_displayed_if_they_have_metrics():
    inputs = inputs_of("original")
    leaked = inputs.metrics.validation.model_copy(update={"n": 4321})
    metrics = inputs.metrics.model_copy(update={"test_leaked": leaked, "test_clean": leaked})
    rendered = render(inputs, metrics=metrics)
    for section in ("results", "subgroups"):
        assert "Leaked test images only 4,321 images" in rendered.text(section)
        assert "Test without leaked images 4,321 images" in rendered.text(section)
    assert "Leaked test images only" not in rendered_page("original").text()
    assert "Leaked and clean test images" not in rendered_page("original").text("subgroups")


def test_split_is_displayed_with_counts_and_leaked_images():
    table, text = inputs_of("fourteen").split_table.frame, rendered_page("fourteen").text("data")
    for split, name in (("train", "training"), ("val", "validation"), ("test", "test")):
        rows = table[table["split"] == split]
        groups, classes = rows["group_id"].nunique(), rows["label"].nunique()
        assert f"{name} {len(rows):,} {groups:,} {classes}" in text
    test = table.query("split == 'test'")
    assert (
        f"{len(test)} files used from the original test split, {test['is_leaked'].sum()} (" in text
    )


def test_policy_original_has_a_warning_and_policy_grouped_does_not():
    assert "the results are too optimistic" in rendered_page("original").text("data")
    assert "too optimistic" not in rendered_page("two").text()


def test_data_without_an_original_split_are_reported():
    split_table = inputs_of("two").split_table
    without = with_frame(split_table, split_table.frame.assign(original_split=None))
    text = render(inputs_of("two"), split_table=without).text("data")
    assert "The data have no original split." in text


def test_findings_have_message_examples_and_recommendation_in_the_order_of_the_audit():
    words = rendered_page("two").section["findings"]
    order = [words.index(finding(severity).message) for severity in SEVERITIES]
    assert order == sorted(order)
    assert {"a.jpg", "<b>.jpg", "c.jpg", "Exclude <these> files."} <= set(words)


def test_every_probe_is_in_the_table_with_its_chance():
    inputs = inputs_of("two")
    words = render(inputs).section["findings"]
    for probe in inputs.audit_findings.shortcut_probes:
        assert any(probe.name in word for word in words)
        assert f"{probe.chance:.3f}" in words


def test_sizes_of_the_largest_groups_are_displayed():
    findings = inputs_of("two").audit_findings
    summary = findings.summary.model_copy(update={"largest_groups": [71, 3, 2]})
    changed = findings.model_copy(update={"summary": summary})
    rendered = render(inputs_of("two"), audit_findings=changed)
    assert "71, 3, 2 files" in rendered.text("data")


def test_report_without_findings_states_what_was_checked():
    none = inputs_of("two").audit_findings.model_copy(update={"findings": []})
    rendered = render(inputs_of("two"), audit_findings=none)
    assert "No findings. The audit checks for" in rendered.text("findings")


def test_figures_have_their_bytes_alternative_text_and_size():
    images = rendered_page("two").named("img")
    assert len(images) == len(FIGURES)
    first, last = images[0], images[-1]
    assert first.attrs["src"].startswith("data:image/webp;")  # the sample images come first
    assert base64.b64decode(last.attrs["src"].split(",")[1]) == PNG
    matrix = next(tag for tag in images if tag.attrs["alt"].startswith("Test: 92"))
    assert matrix.attrs["src"] == last.attrs["src"]
    assert all(len(tag.attrs["alt"]) > 10 for tag in images)
    assert (images[0].attrs["width"], images[0].attrs["height"]) == ("1", "1")


def test_unusable_files_are_counted_and_the_first_fifty_are_listed():
    words = rendered_page("unusual").section["data"]
    assert (
        "300 files could not be used; the first 50 are listed here, and"
        in rendered_page("unusual").text()
    )
    assert sum(word.startswith("train/") for word in words) == 50
    assert "All files could be used." in rendered_page("two").words


@pytest.mark.parametrize("epochs", [1, 8])
def test_training_section_has_recipe_epochs_and_duration(epochs):
    text = render(two_classes(epochs=epochs)).text("training")
    duration = "42 s" if epochs == 1 else "5 min 32 s"
    assert f"{epochs} epoch{'s' if epochs > 1 else ''} in {duration}" in text
    assert "optimizer learning rate 0.0003" in text
    assert "compile yes" in text


def test_uncertainty_section_has_the_temperature_and_the_class_prior():
    text = rendered_page("two").text("uncertainty")
    assert "temperature 1.384" in text
    assert "balanced during training (logit adjustment)" in text


def test_command_to_reproduce_names_the_versions():
    provenance = inputs_of("two").metrics.provenance
    versions = ",".join(
        f"{name}:{getattr(provenance, name + '_version')}"
        for name in ("model", "split_table", "image_table", "raw_images")
    )
    text = rendered_page("two").text("reproduce")
    assert f'kedro run --pipelines evaluate --load-versions "{versions}"' in text
    assert SPLIT_FINGERPRINT in text
    assert "torch 2.9.1" in text


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (Origin(kind="kaggle", dataset="a/b", version=7), "a/b on Kaggle, version 7"),
        (Origin(kind="demo", seed=5), "synthetic images, seed 5"),
        (Origin(kind="folder", folder="/home/me/mine"), "folder mine"),
    ],
)
def test_source_of_the_images_is_displayed_with_its_version(origin, expected):
    model = with_provenance(inputs_of("two").model, origin=origin)
    text = render(inputs_of("two"), model=model).text("reproduce")
    assert f"Image source {expected} Model" in text


def test_version_of_each_library_of_the_training_is_displayed():
    model = with_provenance(inputs_of("two").model, libraries={"torch": "2.9.1", "timm": "1.0.26"})
    text = render(inputs_of("two"), model=model).text("reproduce")
    assert "torch 2.9.1 timm 1.0.26 Device cpu" in text


def test_license_notes_are_displayed_and_missing_notes_are_reported():
    assert LICENSE_NOTE in rendered_page("two").text("licenses")
    origin = Origin(kind="folder", folder="/d")
    model = with_provenance(inputs_of("two").model, origin=origin)
    without_notes = render(inputs_of("two"), model=model)
    assert "does not state the license" in without_notes.text("licenses")


def test_initial_weights_have_an_unknown_license_unless_they_are_random():
    text = rendered_page("two").text("licenses")
    assert "(imagenet, file resnet18-f37072fd.pth) have an unknown license" in text
    model = inputs_of("two").model
    random = replace(model.initial_weights, weights="none", file=None, sha256=None)
    changed = model.model_copy(update={"initial_weights": random})
    text = render(inputs_of("two"), model=changed).text("licenses")
    assert "started from random weights" in text


def test_sections_are_in_the_order_of_the_registry_and_empty_ones_are_left_out():
    registered = [section.name for section in SECTIONS]
    shown = [tag.attrs["id"] for tag in rendered_page("two").named("section")]
    assert shown == [name for name in registered if name in shown]
    assert [name for name in registered if name not in ("external", "localization")] == shown


@pytest.mark.parametrize("name", ["fourteen", "unusual"])
def test_all_links_have_a_target_and_all_anchors_are_unique(name):
    rendered = rendered_page(name)
    anchors = [tag.attrs["id"] for tag in rendered.tags if "id" in tag.attrs]
    assert len(anchors) == len(set(anchors))
    targets = {tag.attrs["href"].removeprefix("#") for tag in rendered.named("a")}
    assert targets <= set(anchors)
    assert {tag.attrs["id"] for tag in rendered.named("section")} <= targets


def test_most_severe_finding_is_in_the_summary():
    text = rendered_page("two").text("summary")
    assert f"Most severe of 4 findings high {finding('high').message}" in text
    none = inputs_of("two").audit_findings.model_copy(update={"findings": []})
    text = render(inputs_of("two"), audit_findings=none).text("summary")
    assert "Findings in the data no findings" in text


def test_findings_of_severity_high_and_medium_are_next_steps():
    text = rendered_page("two").text("next_steps")
    assert f"{finding('high').message} {finding('high').recommendation}" in text
    assert finding("medium").message in text
    assert finding("low").message not in text


def test_next_steps_follow_from_split_small_classes_and_calibration():
    text = rendered_page("original").text("next_steps")
    assert "Evaluate with split.policy=grouped" in text
    assert "2 classes have fewer than 30 test images (Benign, Melanoma)" in text
    assert "Evaluate with" not in rendered_page("two").text("next_steps")
    assert "Add test images; 22 of 23 classes" in rendered_page("unusual").text("next_steps")


@pytest.mark.parametrize(
    ("error", "expected"), [(0.9, True), ("high", False), ("median", False), (0.0, False)]
)
def test_calibration_error_is_compared_with_chance(error, expected):
    metrics = inputs_of("two").metrics
    test = metrics.test
    if isinstance(error, str):
        error = getattr(test.calibration.error_by_chance, error)
    changed = test["expected_calibration_error"].__class__(
        value=error, low=None, high=None, n=test.n, reason="none"
    )
    test = type(test)(**dict(test) | {"expected_calibration_error": changed})
    page = render(inputs_of("two"), metrics=metrics.model_copy(update={"test": test}))
    assert ("larger than chance alone explains" in page.text("uncertainty")) == expected
    assert ("Do not use the probabilities as risks" in page.text("next_steps")) == expected


def test_numbers_of_few_images_are_marked_with_n():
    row = inputs_of("fourteen").metrics.test.per_class["Chickenpox"]
    assert row.support < 30
    value, interval = estimate(row["recall"], 100)
    text = rendered_page("fourteen").text("results")
    assert f"n {row['recall'].n} {value} {interval}" in text
    large = inputs_of("fourteen").metrics.test.per_class["Melanoma"]
    assert f"n {large['recall'].n} " not in text


def test_long_reasons_in_the_table_of_classes_are_notes_below_it():
    text = rendered_page("fourteen").text("results")
    assert "note 1" in text
    assert "Note 1: no interval, because a class has fewer than 30 images." in text


def photographs(**report) -> Page:
    settings = REPORT.model_copy(update=report)
    return render(inputs_of("two"), figures=("sample_images", "class_counts"), report=settings)


def test_images_of_patients_are_left_out_if_they_are_not_wanted():
    shown, hidden = photographs(), photographs(show_images=False)
    assert len(shown.named("img")) == 2
    assert len(hidden.named("img")) == 1  # the chart
    assert "patients are left out" in hidden.text("data")
    assert "patients are left out" not in shown.text()
    assert "image/webp" not in hidden.html


def test_embedded_photographs_have_no_metadata():
    exif = Image.Exif()
    exif[0x010E] = "name of a patient"
    png = io.BytesIO()
    Image.new("RGB", (30, 20), "brown").save(
        png, "PNG", exif=exif, pnginfo=_text_chunk(), icc_profile=b"profile"
    )
    page = render_report(**vars(inputs_of("two").report_inputs()), sample_images=png.getvalue())
    (image,) = Page(page).named("img")
    webp = base64.b64decode(image.attrs["src"].split(",")[1])
    with Image.open(io.BytesIO(webp)) as decoded:
        assert (decoded.format, decoded.size) == ("WEBP", (30, 20))
        assert not decoded.getexif()
        assert {"exif", "icc_profile", "xmp", "Comment"}.isdisjoint(decoded.info)
    assert b"patient" not in webp


def _text_chunk() -> PngInfo:
    info = PngInfo()
    info.add_text("Comment", "name of a patient")
    return info


def test_unknown_results_are_rejected():
    with pytest.raises(TypeError, match="add a field to ReportInputs"):
        render_report(**vars(inputs_of("two").report_inputs()), misspelled=1)


def test_table_rejects_a_row_with_a_missing_cell():
    with pytest.raises(ValueError, match="one cell per column"):
        Table(caption="t", columns=[Column("a"), Column("b")], rows=[[Cell(text="1")]])
