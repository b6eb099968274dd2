"""Consistency of the registry of figures with the pipelines, the catalog and the report."""

import html
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

from skin_lesions.pipelines.report.pipeline import create_pipeline
from skin_lesions.reporting.figures.registry import FIGURES
from skin_lesions.reporting.html_report import render_report
from skin_lesions.reporting.sections.registry import SECTIONS
from support.report_inputs import PNG, REPORT, two_classes

ANNOTATIONS_WITHOUT_TORCH = """
import sys
from typing import get_type_hints
from skin_lesions.pipelines.report.pipeline import create_pipeline
from skin_lesions.reporting.figures.registry import FIGURES
functions = [node.func for node in create_pipeline().nodes] + [figure.draw for figure in FIGURES]
for function in functions:
    assert get_type_hints(function)["return"]
assert "torch" not in sys.modules
"""


@pytest.fixture
def catalog(project) -> dict[str, dict]:
    return yaml.safe_load((project / "conf/base/catalog.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_figure_has_the_name_of_its_module_and_its_file(figure, catalog):
    assert figure.draw.__module__ == f"skin_lesions.reporting.figures.{figure.name}"
    assert figure.draw.__name__ == f"draw_{figure.name}"
    assert catalog[figure.name]["filepath"].endswith(f"/{figure.name}.png")
    inputs = {name for name in figure.inputs if not name.startswith("params:")}
    assert inputs <= catalog.keys()


# The pipeline localize draws its own figures, which are not part of the report.
OF_LOCALIZE = {"localization_methods", "worst_localizations"}


def test_catalog_has_exactly_the_registered_figures(catalog):
    dataset = {"type": "skin_lesions.datasets.FigureDataset"}
    entries = {name for name, entry in catalog.items() if "dataset" in entry}
    figures = {name for name in entries if catalog[name]["dataset"] == dataset}
    assert figures - OF_LOCALIZE == {figure.name for figure in FIGURES}
    assert len(figures - OF_LOCALIZE) == len(FIGURES)


def test_pipeline_has_a_node_for_each_of_its_figures():
    nodes = {node.name: node for node in create_pipeline().nodes}
    drawn = {name: node for name, node in nodes.items() if name.startswith("report.draw_")}
    expected = [figure for figure in FIGURES if figure.pipeline == "report"]
    assert drawn.keys() == {f"report.draw_{figure.name}" for figure in expected}
    for figure in expected:
        node = drawn[f"report.draw_{figure.name}"]
        assert (node.func.__wrapped__, node.inputs) == (figure.draw, list(figure.node_inputs))
        assert node.outputs == [figure.name]
    assert {figure.name for figure in FIGURES} <= set(nodes["report.write_report"].inputs)


def test_report_has_heading_and_alternative_text_of_each_figure_in_its_section():
    inputs = two_classes().report_inputs()
    page = render_report(**vars(inputs), **{figure.name: PNG for figure in FIGURES})
    found = {}
    for section in re.findall(r"<section id=.+?</section>", page, flags=re.DOTALL):
        (name,) = re.findall(r'^<section id="(\w+)">', section)
        for figure, heading, alt in re.findall(
            r'<figure id="figure_(.+?)">\s*<figcaption><h3.*?>(.+?)<a.+?</h3></figcaption>\s*'
            r'<img .*?alt="(.+?)">',
            section,
        ):
            assert figure not in found
            found[figure] = (name, html.unescape(heading), html.unescape(alt))
    assert found == {
        figure.name: (figure.section, figure.heading, figure.alt_text(inputs)) for figure in FIGURES
    }


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_figure_is_in_an_existing_section(figure):
    assert figure.section in {section.name for section in SECTIONS}


def test_figures_with_images_of_patients_are_marked():
    marked = {figure.name for figure in FIGURES if figure.shows_patients}
    assert {"sample_images", "linked_image_pairs"} <= marked


def test_figure_that_reads_pixels_must_be_marked():
    with pytest.raises(ValueError, match="set shows_patients=True"):
        replace(FIGURES[0], inputs=("pixel_store",))


@pytest.mark.parametrize("name", ["sample_images", "linked_image_pairs"])
def test_node_draws_a_placeholder_if_images_of_patients_are_not_wanted(name):
    figure = next(figure for figure in FIGURES if figure.name == name)
    settings = REPORT.model_copy(update={"show_images": False})
    arguments = [None] * (len(figure.node_inputs) - 1)
    drawn = figure.node_arguments()["func"](*arguments, settings)
    assert not drawn.figure.axes
    texts = " ".join(text.get_text() for text in drawn.figure.texts)
    assert figure.heading in texts
    assert "Images of patients are left out (report.show_images=false)." in texts


def test_node_draws_the_images_if_they_are_wanted():
    figure = next(figure for figure in FIGURES if figure.name == "sample_images")
    study = two_classes()
    arguments = [study.image_table, study.pixel_store, study.model, study.malignancy, REPORT]
    drawn = figure.node_arguments()["func"](*arguments)
    assert len(drawn.figure.axes[0].images) == 8  # four of each class


def test_annotations_of_all_nodes_are_importable_without_torch():
    subprocess.run([sys.executable, "-c", ANNOTATIONS_WITHOUT_TORCH], check=True)
