"""docs/method.md defines every number of the report."""

import re

import pytest

from skin_lesions.evaluation.scorecard import registry
from skin_lesions.evaluation.scorecard.model import CalibrationMetrics, MalignancyMetrics
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.reporting.blocks import Collapsible, Heading, Table
from skin_lesions.reporting.sections.registry import SECTIONS
from support.report_inputs import fourteen_classes


@pytest.fixture(scope="module")
def page(project) -> str:
    return (project / "docs" / "method.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def entries(page) -> dict[str, str]:
    """Return the definition of each metric, by its key."""
    found = re.findall(r"^- \*\*[^*]+\*\* \(`(\w+)`\): (.+?)(?=^- |^#|\Z)", page, re.M | re.S)
    return {key: " ".join(text.split()) for key, text in found}


@pytest.mark.parametrize(
    "metric", [*registry.METRICS, *registry.CLASS_METRICS], ids=lambda metric: metric.key
)
def test_each_metric_has_a_definition_with_its_name(metric, page, entries):
    assert len(entries[metric.key]) > 10
    assert f"**{metric.name}** (`{metric.key}`)" in page


def test_other_numbers_of_the_scorecard_are_defined(entries):
    fields = {**MalignancyMetrics.model_fields, **CalibrationMetrics.model_fields}
    names = {name for name, field in fields.items() if field.annotation is Estimate}
    assert {"sensitivity", "overconfidence"} < names
    assert names <= entries.keys()


def test_each_definition_names_no_unknown_metric(entries):
    known = {metric.key for metric in (*registry.METRICS, *registry.CLASS_METRICS)}
    others = {*MalignancyMetrics.model_fields, *CalibrationMetrics.model_fields}
    assert entries.keys() <= known | others


def test_numeric_columns_of_the_report_are_defined(page):
    inputs = fourteen_classes().report_inputs()
    blocks = [block for section in SECTIONS for block in section.content(inputs)]
    blocks += [b for block in blocks if isinstance(block, Collapsible) for b in block.blocks]
    assert any(isinstance(block, Heading) for block in blocks)
    tables = [block for block in blocks if isinstance(block, Table)]
    names = {column.name for table in tables for column in table.columns if column.numeric}
    counts = {"Images", "Groups", "Classes", "Train", "Val", "Test", "Validation", "Correct"}
    assert {"Chance", "Maximum", "Recall"} <= names
    text = " ".join(page.split()).lower()
    for column in names - counts:
        name = column.split(" at ")[0]  # "PPV at 5 %"
        assert " ".join(name.split()).lower() in text, name
