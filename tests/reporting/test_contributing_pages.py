"""The examples in docs/contributing work as they are."""

import importlib.util
import json
import re
import sys
from dataclasses import replace
from types import ModuleType

import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from skin_lesions.evaluation.scorecard import Scorecard, compute_metrics
from skin_lesions.evaluation.scorecard import registry as metric_registry
from skin_lesions.pipelines.report.pipeline import create_pipeline
from skin_lesions.reporting.figures import registry as figure_registry
from skin_lesions.reporting.formatting import NBSP
from skin_lesions.reporting.html_report import render_report
from skin_lesions.reporting.model_card import render_model_card
from skin_lesions.reporting.sections import registry as section_registry
from support.report_inputs import PNG, two_classes, with_frame


def code_block(project, page: str, language: str) -> str:
    text = (project / "docs" / "contributing" / page).read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return block


@pytest.fixture
def load_example(project, tmp_path, monkeypatch):
    """Load the Python code of a page as a module."""

    def load(page: str) -> ModuleType:
        path = tmp_path / "example_of_page.py"
        path.write_text(code_block(project, page, "python"), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def group_sizes(load_example, monkeypatch) -> ModuleType:
    example = load_example("add-a-figure.md")
    figures = (*figure_registry.FIGURES, example.FIGURE)
    monkeypatch.setattr(figure_registry, "FIGURES", figures)
    return example


def test_figure_of_the_page_is_drawn_by_the_pipeline(group_sizes):
    study = two_classes()
    sizes = study.split_table.frame["group_id"].value_counts()
    node = create_pipeline().filter(node_names=["report.draw_group_sizes"])
    catalog = DataCatalog()
    catalog["split_table"] = study.split_table
    outputs = SequentialRunner().run(node, catalog)
    (axes,) = outputs["group_sizes"].load().figure.axes
    heights = {bar.get_x() + bar.get_width() / 2: bar.get_height() for bar in axes.patches}
    assert heights == sizes.value_counts().to_dict()


def test_figure_of_the_page_is_in_its_section_of_the_report(group_sizes):
    study = two_classes()
    page = render_report(**vars(study.report_inputs()), confusion_matrix=PNG, group_sizes=PNG)
    data = re.search(r'<section id="data">.+?</section>', page, flags=re.DOTALL)[0]
    assert re.findall(r'<figure id="figure_(\w+)">', data) == ["group_sizes"]
    assert "Sizes of the groups" in data
    assert f'alt="{group_sizes.title(study.split_table)}"' in page


def test_catalog_entry_of_the_page_is_that_of_a_figure(project):
    catalog = (project / "conf/base/catalog.yml").read_text(encoding="utf-8")
    entries = yaml.safe_load(catalog + code_block(project, "add-a-figure.md", "yaml"))
    expected = entries["loss_curves"]
    expected["filepath"] = expected["filepath"].replace("loss_curves", "group_sizes")
    assert entries["group_sizes"] == expected


def test_metric_of_the_page_is_in_metrics_report_and_card(load_example, monkeypatch):
    example = load_example("add-a-metric.md")
    metrics = (*metric_registry.METRICS, example.TOP3_ACCURACY)
    monkeypatch.setattr(metric_registry, "METRICS", metrics)
    study = two_classes()
    estimate = study.metrics.test["top3_accuracy"]
    assert estimate.value == 1.0  # there are only two classes
    saved = json.loads(study.metrics.model_dump_json())
    assert saved["test"]["top3_accuracy"]["value"] == 1.0
    assert Scorecard.model_validate(saved) == study.metrics
    meaning = example.TOP3_ACCURACY.meaning
    page = render_report(**vars(study.report_inputs()))
    assert f'Top-3 accuracy<span class="detail">{meaning}</span>' in page
    interval = f"{100 * estimate.low:.1f} to 100.0{NBSP}%"
    detail = interval.replace(" ", NBSP)
    assert f'100.0{NBSP}%</span><span class="detail">{detail}</span>' in page
    card = render_model_card(**study.card_arguments())
    assert f"| Top-3 accuracy | 100.0 % [{interval.replace(NBSP, ' ')}] |" in card
    assert "type: top3_accuracy" in card


def test_metric_of_the_page_counts_the_three_most_probable_classes(load_example, monkeypatch):
    example = load_example("add-a-metric.md")
    monkeypatch.setattr(metric_registry, "METRICS", (example.TOP3_ACCURACY,))
    predictions = pd.DataFrame(
        {
            "group_id": ["g0", "g1", "g2"],
            "label": ["a", "a", "a"],
            "predicted": ["a", "b", "b"],
            "p_a": [0.4, 0.2, 0.1],
            "p_b": [0.3, 0.4, 0.3],
            "p_c": [0.2, 0.3, 0.2],
            "p_d": [0.1, 0.1, 0.4],
        }
    )
    metrics = compute_metrics(predictions, ["a", "b", "c", "d"], seed=0)
    assert metrics["top3_accuracy"].value == pytest.approx(2 / 3)


@pytest.fixture
def image_formats(load_example, monkeypatch) -> ModuleType:
    example = load_example("add-a-section.md")
    sections = (*section_registry.SECTIONS, example.SECTION)
    monkeypatch.setattr(section_registry, "SECTIONS", sections)
    return example


def test_section_of_the_page_is_the_last_one_in_the_report_and_in_the_contents(image_formats):
    study = two_classes()
    counts = study.image_table.frame["format"].value_counts()
    page = render_report(**vars(study.report_inputs()))
    assert re.findall(r'<section id="(\w+)">', page)[-1] == "image_formats"
    assert '<a href="#image_formats">Image formats</a>' in page
    section = page[page.index('<section id="image_formats">') :]
    assert f'data-sort="{float(counts["JPEG"])}"' in section
    assert f"All {len(study.image_table.frame)} files have the format JPEG." in section


def test_section_of_the_page_is_left_out_without_files(image_formats):
    inputs = two_classes().report_inputs()
    empty = with_frame(inputs.image_table, inputs.image_table.frame.head(0))
    assert not image_formats.image_formats_content(replace(inputs, image_table=empty))
