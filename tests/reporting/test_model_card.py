import html
import re
from functools import cache

import pytest
from markdown_it import MarkdownIt

from skin_lesions.reporting.model_card import markdown_text, render_model_card
from support.report_inputs import WEIRD, Inputs, fourteen, twenty_three, two

TAGS = {"h1", "h2", "p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
TAGS |= {"code", "pre", "blockquote"}


@cache
def card(name: str) -> str:
    inputs = {
        "fourteen": fourteen,
        "synthetic": lambda: two(synthetic=True),
        "two": two,
        "weird": twenty_three,
        "original": lambda: two(policy="original"),
    }[name]()
    return render_model_card(**inputs.for_card())


def shown(markdown: str) -> str:
    """Return what a reader of the rendered card sees, and nothing else."""
    page = rendered(markdown)
    assert set(re.findall(r"<(\w+)", page)) <= TAGS
    return html.unescape(re.sub(r"\s*<[^>]*>\s*", " ", page)).replace("  ", " ")


def rendered(markdown: str) -> str:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)


def rows(markdown: str) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", rendered(markdown), flags=re.DOTALL)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.DOTALL) for row in found]
    return [[html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in row] for row in cells]


@pytest.mark.parametrize("label", WEIRD)
def test_class_names_are_shown_as_they_are_in_tables_and_lists(label):
    table_rows = [row for row in rows(card("weird")) if row[0] == label]
    assert [len(row) for row in table_rows] == [4, 7]  # counts, and numbers of each class
    assert label in shown(card("weird"))


@pytest.mark.parametrize(
    "name",
    [
        *WEIRD,
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
def test_escaped_text_reads_as_it_was(name):
    assert shown(f"- {markdown_text(name)}\n").strip() == name


def test_text_of_several_lines_stays_on_one():
    assert markdown_text("a\n\n# b") == "a # b"


def test_generated_images_are_announced_first():
    said = "Generated images: these numbers say nothing about real skin."
    assert shown(card("synthetic")).strip().startswith(said)
    assert "enerated images" not in card("two")


@pytest.mark.parametrize(
    "section",
    [
        "Model details",
        "Intended use",
        "Data",
        "Training",
        "How it was judged",
        "Results",
        "Limits",
        "Provenance",
        "Licence of the data",
    ],
)
def test_the_card_has_the_sections_of_a_model_card(section):
    assert f"\n## {section}\n" in card("two")


def test_it_says_that_it_is_no_medical_device():
    assert "Research software, not a medical device." in shown(card("two"))


@pytest.mark.parametrize(
    "unknown",
    ["skin tone", "how the labels were made", "consent", "devices", "licence of the model"],
)
def test_what_no_file_tells_is_left_to_the_authors(unknown):
    lines = [line for line in card("fourteen").splitlines() if unknown in line]
    assert any("**Author must fill:**" in line for line in lines)


def test_it_says_which_weights_training_started_from():
    text = shown(card("two"))
    assert "started from weights imagenet (file resnet18-f37072fd.pth , sha256 f37072fd0000" in text


def test_probabilities_of_balanced_classes_are_told_from_those_of_the_images():
    told = two().for_card()
    assert "rare ones get more than their share" in render_model_card(**told)
    told["model"]["recipe"]["class_balance"] = "none"
    assert "balanced while it learned" not in render_model_card(**told)


def test_overall_numbers_are_those_of_the_metrics():
    metrics = fourteen().metrics
    found = rows(card("fourteen"))
    start = [row[0] for row in found].index("Images")
    table = {row[0]: row[1:] for row in found[start : start + 9]}
    assert table["Images"] == [str(metrics["test"]["n"]), str(metrics["validation"]["n"])]
    for column, part in enumerate(("test", "validation")):
        e = metrics[part]["accuracy"]
        value, low, high = (f"{100 * e[key]:.1f}" for key in ("value", "low", "high"))
        assert table["Accuracy"][column] == f"{value} % [{low} to {high} %]"
        e = metrics[part]["auroc_macro"]
        value, low, high = (f"{e[key]:.3f}" for key in ("value", "low", "high"))
        assert table["AUROC"][column] == f"{value} [{low} to {high}]"


def test_counts_of_each_class_and_split_are_those_of_the_split_table():
    inputs = fourteen()
    counts = inputs.split_table.groupby(["label", "split"]).size()
    table = {row[0]: row[1:] for row in rows(card("fourteen")) if len(row) == 4}
    for label in inputs.labels:
        assert table[label] == [f"{counts[label, split]:,}" for split in ("train", "val", "test")]


def test_numbers_of_each_class_are_those_of_the_metrics():
    row = fourteen().metrics["test"]["per_class"]["Melanoma"]
    table = {cells[0]: cells[1:] for cells in rows(card("fourteen")) if len(cells) == 7}
    value, low, high = (f"{100 * row['recall'][key]:.1f}" for key in ("value", "low", "high"))
    assert table["Melanoma"][:3] == [
        str(row["support"]),
        str(row["correct"]),
        f"{value} % [{low} to {high} %]",
    ]


def test_classes_without_test_images_are_named_as_not_judged():
    assert f"not judged at all: {WEIRD[0]}" in shown(card("weird"))
    table = {cells[0]: cells[1:] for cells in rows(card("weird")) if len(cells) == 7}
    assert table[WEIRD[0]][2] == "–"


def test_metadata_are_summed_up_where_there_are_any():
    assert re.search(
        r"Age: known of [\d,]+ of [\d,]+ images; \d+ to \d+, median \d+\.", card("two")
    )
    inputs = two()
    bare = inputs.image_table.drop(columns=["age", "sex"])
    said = render_model_card(**{**inputs.for_card(), "image_table": bare})
    assert "Age:" not in said
    assert "age, sex and site on the body" in said


@pytest.mark.parametrize(
    ("age", "site"), [("age_approx", "anatom_site_general"), ("age", "localization")]
)
def test_metadata_under_the_names_of_public_tables_are_summed_up_too(age, site):
    inputs = two()
    table = inputs.image_table.drop(columns="age").assign(**{age: 55.0, site: "back"})
    said = render_model_card(**{**inputs.for_card(), "image_table": table})
    assert "Age: known of 180 of 180 images; 55 to 55, median 55." in said
    assert "Site: known of 180 of 180 images; back 180." in said


def test_unknown_ages_are_no_crash_and_no_invention():
    inputs = two()
    table = inputs.image_table.assign(age=None, sex=None)
    said = render_model_card(**{**inputs.for_card(), "image_table": table})
    assert re.search(r"Age: known of 0 of [\d,]+ images\.", said)


def test_as_shipped_warns():
    assert "the numbers are too good" in card("original")
    assert "the numbers are too good" not in card("two")


def test_malignancy_is_left_out_where_no_class_is_known_to_be_malignant():
    said = render_model_card(**Inputs(["cats", "dogs"], [40, 40]).for_card())
    assert "Sensitivity" not in said
    assert "Sensitivity" in card("two")


def test_the_command_that_reproduces_is_shown_unescaped():
    assert 'kedro run --pipelines evaluate,report --load-versions "model:2026-' in card("two")


def test_no_template_syntax_and_no_missing_value_is_left():
    for name in ("fourteen", "weird", "synthetic"):
        assert not re.search(r"\{\{|\}\}|\{%|\bNone\b|\bnan\b|Undefined", card(name))
