"""The section "Lesion localization" of the report, and its sentences and findings."""

from dataclasses import replace

from skin_lesions.reporting.blocks import Collapsible, Heading, Paragraph, Table
from skin_lesions.reporting.html_report import render_report
from skin_lesions.reporting.model_card import render_model_card
from skin_lesions.reporting.sections.findings import all_findings
from skin_lesions.reporting.sections.localization import localization_content
from support.localization import (
    LOCALIZATION_PROVENANCE,
    lesion_dependence,
    localization_results,
    stored_localizations,
)
from support.report_inputs import fourteen_classes

STUDY = fourteen_classes()


def made(images="images", model_version="V1"):
    changes = {"images": images, "model_version": model_version}
    return LOCALIZATION_PROVENANCE.model_copy(update=changes)


def inputs(**results):
    return replace(
        STUDY.report_inputs(),
        model=STUDY.model.with_version("V1"),
        stored_localizations=stored_localizations(**results),
    )


def texts(blocks):
    return [str(b.text).replace("\u00a0", " ") for b in blocks if isinstance(b, Paragraph)]


def test_report_without_localization_has_no_section():
    assert localization_content(inputs()) == []
    assert 'id="localization"' not in render_report(**vars(inputs()))
    assert 'id="localization"' in render_report(**vars(inputs(v1=localization_results())))


def test_newest_results_of_the_model_are_shown_for_each_set_of_images():
    new, old = (localization_results(gain, provenance=made()) for gain in (0.3, 0.1))
    other_images = localization_results(provenance=made("hospital"), sources=["phones"])
    other_model = localization_results(provenance=made("clinic", "V2"))
    blocks = localization_content(inputs(v4=new, v3=other_images, v2=old, v1=other_model))
    headings = [block for block in blocks if isinstance(block, Heading)]
    assert [heading.text for heading in headings] == ["Images: images", "Images: hospital"]
    assert len({heading.anchor for heading in headings}) == 2
    assert any("better than a fixed box (gain 0.30" in text for text in texts(blocks))
    assert not any("gain 0.10" in text for text in texts(blocks))
    tables = [block for block in blocks if isinstance(block, Table)]
    assert [len(table.rows) for table in tables] == [2, 2]
    [by_source] = [block for block in blocks if isinstance(block, Collapsible)]
    assert texts(by_source.blocks) == ["Source phones:"]


def test_results_of_other_models_are_named_with_the_command():
    blocks = localization_content(inputs(v1=localization_results(provenance=made("x", "V2"))))
    [note] = texts(blocks)
    assert "1 stored localization of other models only" in note
    assert "kedro run --pipelines localize" in note


def test_lesion_dependence_is_a_finding_of_report_and_card():
    depends = localization_results(lesion_dependence=lesion_dependence(without_lesion=0.65))
    given = inputs(v1=depends)
    [finding] = [f for f in all_findings(given) if f.id == "accuracy_without_lesion"]
    assert finding.severity == "high"
    assert not [f for f in all_findings(inputs()) if f.id == finding.id]
    card = render_model_card(**vars(given))
    assert "recognizes classes without the lesion" in card
    assert "Lesion localization, reported apart from the diagnosis" in card
    assert "recognizes classes without the lesion" in render_report(**vars(given))


def test_scores_without_the_lesion_are_in_the_section():
    depends = localization_results(lesion_dependence=lesion_dependence(without_lesion=0.52))
    blocks = localization_content(inputs(v1=depends))
    [table] = [b for b in blocks if isinstance(b, Table) and b.columns[0].name == "Images"]
    assert [row[0].text for row in table.rows] == [
        "Original",
        "Without the lesion",
        "Only the lesion",
    ]
    assert table.rows[1][1].sort_value == 0.52
    assert any("by chance is 50.0 %" in text for text in texts(blocks))
    assert any("45.0 % [40.0 to 50.0 %] of the Grad-CAM maps" in text for text in texts(blocks))
