import html
import re
from dataclasses import replace
from functools import cache

import huggingface_hub
import pytest
import yaml
from markdown_it import MarkdownIt

from skin_lesions.data.provenance import Origin
from skin_lesions.metrics.intervals import unavailable
from skin_lesions.models.postprocessing.probabilities import class_frequencies
from skin_lesions.reporting.checklists import CLEAR_DERM
from skin_lesions.reporting.markdown import markdown_text
from skin_lesions.reporting.model_card import AUTHOR, render_model_card
from support.report_inputs import (
    UNUSUAL_NAMES,
    Study,
    fourteen_classes,
    twenty_three_classes,
    two_classes,
    with_frame,
    with_leaky_weights,
    with_provenance,
)

TAGS = {
    "h1",
    "h2",
    "h3",
    "a",
    "p",
    "strong",
    "ul",
    "li",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}
TAGS |= {"code", "pre", "blockquote"}


@cache
def card_of(name: str) -> str:
    inputs = {
        "fourteen": fourteen_classes,
        "synthetic": lambda: two_classes(synthetic=True),
        "two": two_classes,
        "unusual": twenty_three_classes,
        "original": lambda: two_classes(policy="original"),
    }[name]()
    return render_model_card(**inputs.card_arguments())


def visible_text(markdown: str) -> str:
    """Return the visible text of the rendered card."""
    page = to_html(markdown)
    assert set(re.findall(r"<(\w+)", page)) <= TAGS
    return html.unescape(re.sub(r"\s*<[^>]*>\s*", " ", page)).replace("  ", " ")


def split_front_matter(card_text: str) -> tuple[dict, str]:
    """Return the metadata that the Hugging Face Hub reads, and the rest of the card."""
    block = re.match(r"---\n(.*?)\n---\n\n", card_text, flags=re.DOTALL)
    assert block
    return yaml.safe_load(block[1]), card_text[block.end() :]


def to_html(markdown: str) -> str:
    if markdown.startswith("---\n"):
        markdown = split_front_matter(markdown)[1]
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)


def rows(markdown: str) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", to_html(markdown), flags=re.DOTALL)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.DOTALL) for row in found]
    return [[html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in row] for row in cells]


@pytest.mark.parametrize("label", UNUSUAL_NAMES)
def test_class_names_are_displayed_unchanged_in_tables_and_lists(label):
    table_rows = [row for row in rows(card_of("unusual")) if row[0] == label]
    assert [len(row) for row in table_rows] == [4, 9]  # table of counts, table of results by class
    assert label in visible_text(card_of("unusual"))


@pytest.mark.parametrize(
    "name",
    [
        *UNUSUAL_NAMES,
        "# heading",
        "- item",
        "1. first",
        "> quote",
        "[a](http://x)",
        "![a](x)",
        "`code`",
        "__init__",
        "a\\_b",
        "&amp;",
        "<!-- -->",
        "~~gone~~",
        "---",
        "0.1.0",
    ],
)
def test_escaped_text_is_displayed_unchanged(name):
    assert visible_text(f"- {markdown_text(name)}\n").strip() == name


def test_line_breaks_in_text_are_removed():
    assert markdown_text("a\n\n# b") == "a # b"


def test_synthetic_images_are_announced_at_the_top():
    card_text = "Synthetic images: these numbers say nothing about real skin."
    assert visible_text(card_of("synthetic")).strip().startswith(card_text)
    assert "real skin" not in card_of("two")


def test_leakage_by_the_initial_weights_is_announced_at_the_top():
    arguments = two_classes().card_arguments()
    arguments["model"] = with_leaky_weights(arguments["model"])
    arguments["metrics"] = with_provenance(arguments["metrics"], leaked_test_images=7)
    card = render_model_card(**arguments)
    text = visible_text(card)
    assert text.strip().startswith("Leakage by the initial weights.")
    assert "selected on 7 test images and 1 validation image" in text
    assert "Test images were not used" not in text
    (entry,) = split_front_matter(card)[0]["model-index"]
    assert entry["results"][0]["dataset"]["args"]["leaked_test_images"] == 7
    assert "Leakage by the initial weights" not in card_of("two")
    assert "Test images were not used for any selection. Validation" in card_of("two")


@pytest.mark.parametrize(
    "section",
    [
        "Model Details",
        "Intended Use",
        "Factors",
        "Metrics",
        "Evaluation Data",
        "Training Data",
        "Quantitative Analyses",
        "Ethical Considerations",
        "Caveats and Recommendations",
        "Provenance",
        "Reporting checklists",
    ],
)
def test_card_has_all_sections(section):
    assert f"\n## {section}\n" in card_of("two")


def test_card_states_that_it_is_not_a_medical_device():
    assert "Research software, not a medical device." in visible_text(card_of("two"))


@pytest.mark.parametrize(
    "unknown",
    ["skin tone", "how the labels were determined", "consent", "devices", "license of the model"],
)
def test_facts_that_no_file_contains_are_left_to_the_authors(unknown):
    lines = [line for line in card_of("fourteen").splitlines() if unknown in line]
    assert any(f"{AUTHOR}:" in line for line in lines)


def test_initial_weights_are_documented():
    text = visible_text(card_of("two"))
    assert (
        "initialized with weights imagenet (file resnet18-f37072fd.pth , sha256 f37072fd0000"
        in text
    )


@pytest.mark.parametrize(
    ("balance", "decision", "expected"),
    [
        ("logit_adjustment", "auto", ["(logit adjustment)", "if all classes were equally common"]),
        ("none", "balanced", ["if all classes were equally common"]),
        ("weights", "frequency", ["(weights)", "Nevertheless, the predicted class"]),
        ("none", "auto", []),
    ],
)
def test_class_frequencies_of_prediction_and_probabilities_are_described(
    balance, decision, expected
):
    arguments = two_classes().card_arguments()
    model = arguments["model"]
    frequencies = class_frequencies((3, 1), balance, decision)
    arguments["model"] = model.model_copy(
        update={
            "recipe": model.recipe | {"class_balance": balance},
            "postprocessing": replace(model.postprocessing, frequencies=frequencies),
        }
    )
    card = render_model_card(**arguments)
    assert all(text in card for text in expected)
    phrases = ["balanced during training", "equally common", "Nevertheless"]
    assert sum(phrase in card for phrase in phrases) == len(expected)


def test_overall_results_equal_the_metrics():
    metrics = fourteen_classes().metrics
    found = rows(card_of("fourteen"))
    start = [row[0] for row in found].index("Images")
    table = {row[0]: row[1:] for row in found[start : start + 9]}
    assert table["Images"] == [str(metrics.test.n), str(metrics.validation.n)]
    for column, subset in enumerate((metrics.test, metrics.validation)):
        e = subset["accuracy"]
        value, low, high = (f"{100 * number:.1f}" for number in (e.value, e.low, e.high))
        assert table["Accuracy"][column] == f"{value} % [{low} to {high} %]"
        e = subset["auroc_macro"]
        assert table["AUROC"][column] == f"{e.value:.3f} [{e.low:.3f} to {e.high:.3f}]"


def test_counts_by_class_and_split_equal_the_split_table():
    inputs = fourteen_classes()
    counts = inputs.split_table.frame.groupby(["label", "split"]).size()
    table = {row[0]: row[1:] for row in rows(card_of("fourteen")) if len(row) == 4}
    for label in inputs.labels:
        assert table[label] == [f"{counts[label, split]:,}" for split in ("train", "val", "test")]


def test_results_by_class_equal_the_metrics():
    row = fourteen_classes().metrics.test.per_class["Melanoma"]
    table = {cells[0]: cells[1:] for cells in rows(card_of("fourteen")) if len(cells) == 9}
    e = row["recall"]
    value, low, high = (f"{100 * number:.1f}" for number in (e.value, e.low, e.high))
    assert table["Melanoma"][:3] == [
        str(row.support),
        str(row.correct),
        f"{value} % [{low} to {high} %]",
    ]


def test_classes_with_the_lowest_recall_are_listed_as_such():
    recalls = {
        label: row["recall"].value
        for label, row in fourteen_classes().metrics.test.per_class.items()
    }
    lowest = sorted(recalls, key=lambda label: recalls[label])[:3]
    assert recalls[lowest[2]] < min(recalls[label] for label in recalls if label not in lowest)
    expected = f"- Classes with the lowest recall on the test images: {', '.join(lowest)}"
    assert expected in card_of("fourteen").splitlines()


def test_classes_with_fewer_than_30_test_images_are_listed_as_uncertain():
    arguments = Study(["a", "b", "c"], [145, 150, 155]).card_arguments()  # 28, 30 and 32 in test
    expected = "- Fewer than 30 test images, therefore with uncertain results: a"
    assert expected in render_model_card(**arguments).splitlines()


def test_findings_of_severity_high_and_medium_are_limitations():
    text = visible_text(card_of("two"))
    listed = re.findall(r"Audit finding \((\w+)\)", text)
    assert listed == ["high", "medium"]


def test_columns_of_the_results_are_named_by_their_subset():
    inputs = two_classes(policy="original")
    validation = inputs.metrics.validation
    subsets = {
        "test_clean": validation.model_copy(update={"n": 71}),
        "test_leaked": validation.model_copy(update={"n": 29}),
    }
    inputs.metrics = inputs.metrics.model_copy(update=subsets)
    found = rows(render_model_card(**inputs.card_arguments()))
    at = [row[:2] for row in found].index(["Metric", "Test"])
    assert found[at][1:] == [
        "Test",
        "Test without leaked images",
        "Leaked test images only",
        "Validation",
    ]
    n = [inputs.metrics.test.n, 71, 29, validation.n]
    assert found[at + 1] == ["Images", *map(str, n)]


def test_classes_without_test_images_are_listed_as_not_evaluated():
    assert f"therefore not evaluated: {UNUSUAL_NAMES[0]}" in visible_text(card_of("unusual"))
    table = {cells[0]: cells[1:] for cells in rows(card_of("unusual")) if len(cells) == 9}
    assert table[UNUSUAL_NAMES[0]][2] == "–"


def card_with_columns(change) -> str:
    """Render the card of two classes, with other columns in the image table."""
    arguments = two_classes().card_arguments()
    table = arguments["image_table"]
    return render_model_card(**arguments | {"image_table": with_frame(table, change(table.frame))})


def test_known_metadata_are_summarized():
    assert re.search(
        r"Age: known for [\d,]+ of [\d,]+ images; \d+ to \d+, median \d+\.", card_of("two")
    )
    card_text = card_with_columns(lambda table: table.drop(columns=["age", "sex"]))
    assert "Age:" not in card_text
    assert "age, sex and body site" in card_text


@pytest.mark.parametrize(
    ("age", "site"), [("age_approx", "anatom_site_general"), ("age", "localization")]
)
def test_metadata_with_column_names_of_public_tables_are_summarized(age, site):
    card_text = card_with_columns(
        lambda table: table.drop(columns="age").assign(**{age: 55.0, site: "back"})
    )
    assert "Age: known for 180 of 180 images; 55 to 55, median 55." in card_text
    assert "Site: known for 180 of 180 images; back 180." in card_text


def test_empty_age_column_has_no_summary():
    card_text = card_with_columns(lambda table: table.assign(age=None, sex=None))
    assert re.search(r"Age: known for 0 of [\d,]+ images\.", card_text)


def test_policy_original_has_a_warning():
    assert "the results are too optimistic" in card_of("original")
    assert "the results are too optimistic" not in card_of("two")


def test_malignancy_is_left_out_if_no_class_is_known_to_be_malignant():
    card_text = render_model_card(**Study(["cats", "dogs"], [40, 40]).card_arguments())
    assert "Sensitivity" not in card_text
    assert "Sensitivity" in card_of("two")


def test_command_to_reproduce_is_not_escaped():
    assert 'kedro run --pipelines evaluate --load-versions "model:2026-' in card_of("two")


def test_card_contains_no_template_syntax_and_no_missing_values():
    for name in ("fourteen", "unusual", "synthetic"):
        assert not re.search(r"\{\{|\}\}|\{%|\bNone\b|\bnan\b|Undefined", card_of(name))


def test_front_matter_has_the_test_metrics_of_the_scorecard():
    metadata, body = split_front_matter(card_of("fourteen"))
    assert body.startswith("# Model card: resnet18")
    assert metadata["pipeline_tag"] == "image-classification"
    assert metadata["library_name"] == "skin-lesions"
    (entry,) = metadata["model-index"]
    (results,) = entry["results"]
    assert entry["name"] == "resnet18"
    assert results["task"]["type"] == "image-classification"
    assert results["dataset"] == {
        "type": "folder",
        "name": "folder d",
        "split": "test",
        "args": {"split_policy": "grouped"},
    }
    values = {metric["type"]: metric["value"] for metric in results["metrics"]}
    estimates = fourteen_classes().metrics.test.estimates
    assert values == {key: estimate.value for key, estimate in estimates.items()}


def test_license_of_the_model_is_unknown_unless_the_images_have_license_notes():
    assert split_front_matter(card_of("two"))[0]["license"] == "other"
    assert split_front_matter(card_of("synthetic"))[0]["license"] == "unknown"


def test_metrics_that_cannot_be_computed_are_not_in_the_front_matter():
    arguments = two_classes().card_arguments()
    test = arguments["metrics"].test
    unknown = type(test)(**dict(test) | {"auroc_macro": unavailable("one class only")})
    arguments["metrics"] = arguments["metrics"].model_copy(update={"test": unknown})
    (entry,) = split_front_matter(render_model_card(**arguments))[0]["model-index"]
    assert "auroc_macro" not in [m["type"] for m in entry["results"][0]["metrics"]]


@pytest.mark.parametrize(
    "name", [*UNUSUAL_NAMES, "---", "a: b", "# c", "{{ d }}", "- e", "'\"", "f\n---\ng", "\x1b[2J"]
)
def test_front_matter_is_valid_yaml_for_any_name(name):
    study = Study([name, "Melanoma"], [40, 40])
    model = study.model.model_copy(update={"architecture": name})
    model = with_provenance(model, origin=Origin(kind="folder", folder=f"/d/{name}"))
    metadata, body = split_front_matter(
        render_model_card(**study.card_arguments() | {"model": model})
    )
    assert metadata["model-index"][0]["name"] == name
    assert body.startswith("# Model card: ")


def test_classes_without_test_images_are_named_before_the_results():
    assert " of 23 classes evaluated (no images of " in visible_text(card_of("unusual"))
    assert "classes evaluated" not in visible_text(card_of("two"))


@pytest.mark.parametrize("name", ["two", "synthetic", "fourteen"])
def test_items_to_be_filled_by_the_author_are_counted(name):
    card_text = card_of(name)
    head, rest = card_text.split("\n## Model Details", 1)
    sections, lists = rest.split("\n## Reporting checklists", 1)
    assert f"- {sections.count(AUTHOR)} lines of the sections" in head
    clear_derm, claim = lists.split("### CLAIM", 1)
    assert f"- {clear_derm.count(AUTHOR)} of 25 items of CLEAR Derm" in head
    assert f"- {claim.count(AUTHOR)} of 44 items of CLAIM" in head
    assert min(sections.count(AUTHOR), clear_derm.count(AUTHOR), claim.count(AUTHOR)) > 5


def test_checklists_have_a_row_for_each_item_in_order():
    numbers = [row[0] for row in rows(card_of("two")) if len(row) == 3 and row[0].isdigit()]
    assert numbers == [*map(str, range(1, 26)), *map(str, range(1, 45))]


def test_sections_that_answer_an_item_exist():
    card_text = card_of("two")
    named = set(re.findall(r"\| Section ([\w ]+) \|", card_text))
    assert len(named) >= 6
    assert all(f"\n## {name}\n" in card_text for name in named)


def test_answers_depend_on_the_results():
    inputs = two_classes().report_inputs()
    answers = {topic: answer for _, topic, answer in CLEAR_DERM.answers(inputs)}
    assert answers["Synthetic images"] is None
    assert answers["References of public images"] is None
    origin = Origin(kind="kaggle", dataset="a/b", version=7)
    kaggle = replace(inputs, model=with_provenance(inputs.model, origin=origin))
    answers = {topic: answer for _, topic, answer in CLEAR_DERM.answers(kaggle)}
    assert answers["References of public images"] == "a/b on Kaggle, version 7"
    synthetic = two_classes(synthetic=True).report_inputs()
    answers = {topic: answer for _, topic, answer in CLEAR_DERM.answers(synthetic)}
    assert answers["Synthetic images"] == "All images are synthetic"


def test_licenses_of_images_and_weights_are_stated():
    text = visible_text(card_of("two"))
    assert "License of the images: ISIC 2019: CC BY-NC 4.0 <b>" in text
    assert "License of the initial weights: The initial weights (imagenet, file" in text
    assert "The images are synthetic. This software generated them." in card_of("synthetic")


@pytest.mark.parametrize("name", ["two", "synthetic", "fourteen", "unusual"])
def test_hub_reads_the_front_matter(name):
    """ModelCard.validate() asks the Hub; its parsers work offline."""
    card = huggingface_hub.ModelCard(card_of(name))
    data = card.data
    assert data.license in ("other", "unknown")
    assert data.pipeline_tag == "image-classification"
    assert "dermatology" in data.tags
    assert data.model_name == "resnet18"
    values = {result.metric_type: result.metric_value for result in data.eval_results}
    estimates = two_classes().metrics.test.estimates
    if name == "two":
        assert values == {key: estimate.value for key, estimate in estimates.items()}
    assert {result.dataset_split for result in data.eval_results} == {"test"}
    again = yaml.safe_load(data.to_yaml())
    assert again["model-index"] == split_front_matter(card_of(name))[0]["model-index"]
    assert isinstance(again["metrics"], list)


def test_public_data_set_is_named_and_local_folders_are_not():
    assert "datasets" not in split_front_matter(card_of("two"))[0]
    arguments = two_classes().card_arguments()
    origin = Origin(kind="kaggle", dataset="a/b", version=7, license_notes=("unknown",))
    arguments["model"] = with_provenance(arguments["model"], origin=origin)
    metadata, _ = split_front_matter(render_model_card(**arguments))
    assert metadata["datasets"] == ["a/b"]
    assert (metadata["license"], metadata["license_name"]) == (
        "other",
        "depends-on-images-and-weights",
    )


def test_metrics_have_the_names_of_the_hub():
    metrics = split_front_matter(card_of("two"))[0]["metrics"]
    assert {"accuracy", "balanced_accuracy", "f1", "roc_auc"} <= set(metrics)
