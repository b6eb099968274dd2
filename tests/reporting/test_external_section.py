"""The section "External validation" of the report, and its sentences."""

import re
from dataclasses import replace

import pytest

from skin_lesions.core.versions import NamedResults
from skin_lesions.reporting import external_summary
from skin_lesions.reporting.blocks import Collapsible, Heading, Paragraph, Table
from skin_lesions.reporting.checklists import CLAIM, CLEAR_DERM
from skin_lesions.reporting.html_report import render_report
from skin_lesions.reporting.sections.external import external_content
from support.external import external_predictions, external_results, stored_external_metrics
from support.report_inputs import VERSION, fourteen_classes

STUDY = fourteen_classes()
SOME = STUDY.labels[:3]


def inputs(*results, model_version=VERSION):
    return replace(
        STUDY.report_inputs(),
        model=STUDY.model.with_version(model_version),
        stored_external_metrics=stored_external_metrics(*results),
    )


def plain(text):
    return text.replace("\u00a0", " ")


def test_report_without_external_sets_has_no_section():
    assert external_content(inputs()) == []
    arguments = vars(STUDY.report_inputs())
    assert 'id="external"' not in render_report(**arguments)
    shown = render_report(**vars(inputs(external_results(STUDY, labels=SOME))))
    assert 'id="external"' in shown


def test_all_sets_of_the_model_are_listed_and_others_are_named():
    results = [external_results(STUDY, name, labels=SOME) for name in ("a", "b")]
    blocks = external_content(inputs(*results))
    (overview,) = [b for b in blocks if isinstance(b, Table) and b.columns[0].name == "Set"]
    assert [row[0].text for row in overview.rows] == ["a", "b"]
    headings = [block for block in blocks if isinstance(block, Heading)]
    assert len({heading.anchor for heading in headings}) == len(headings)
    other = external_content(inputs(*results, model_version="another"))
    assert "Sets with results of other models only: a, b." in other[-1].text


@pytest.mark.parametrize(
    ("checklist", "topic"),
    [(CLEAR_DERM, "External test data"), (CLAIM, "Testing on external data")],
)
def test_checklists_are_answered_by_external_results_of_the_model(checklist, topic):
    def answer(given):
        return {topic: answer for _, topic, answer in checklist.answers(given)}[topic]

    results = external_results(STUDY, labels=SOME)
    assert answer(inputs(results)) == "Report, section External validation"
    assert answer(inputs(results, model_version="another")) is None
    assert answer(inputs()) is None


def test_newest_results_of_the_model_are_shown():
    old, new = (external_results(STUDY, noise=noise) for noise in (0.8, 0.0))
    versions = stored_external_metrics(new).by_name["hospital_b"]
    stored = replace(versions, versions=("2", "1"), load_version={"2": new, "1": old}.__getitem__)
    model = STUDY.model.with_version(VERSION)
    found, others = external_summary.results_of_model(NamedResults({"hospital_b": stored}), model)
    assert found == [new]
    assert others == []


def test_headline_states_over_how_many_classes_it_is():
    text = plain(external_summary.headline_sentence(external_results(STUDY, labels=SOME)))
    assert "It is over 3 of the 14 classes of the model" in text
    for label in SOME:
        assert label in text
    assert re.search(r"balanced accuracy is \d+\.\d % \[\d+\.\d to \d+\.\d %\]", text)


@pytest.mark.parametrize(
    ("noise", "verdict"), [(0.0, "No difference is shown"), (0.8, "The external result is lower")]
)
def test_difference_is_stated_with_its_interval(noise, verdict):
    text = external_summary.difference_sentence(external_results(STUDY, noise=noise))
    assert verdict in text
    assert re.search(r"[+-]\d+\.\d percentage points, 95 % interval [+-]\d+\.\d to", text)


def test_higher_external_result_is_stated():
    results = external_results(STUDY)
    metrics = results.all_outputs
    difference = metrics.differences["balanced_accuracy"]
    higher = difference.__class__(value=0.1, low=0.05, high=0.15, n=difference.n)
    changed = metrics.model_copy(update={"differences": {"balanced_accuracy": higher}})
    text = external_summary.difference_sentence(results.model_copy(update={"all_outputs": changed}))
    assert "The external result is higher (external minus internal: +10.0" in text


def test_missing_training_images_are_stated():
    results = external_results(STUDY, compared=100)
    training = results.overlap.training_images
    text = external_summary.overlap_sentence(results)
    assert text.startswith("No external image was found among the training")
    assert f"{training - 100:,} of {training:,} training and validation images are not" in text
    assert "only exact duplicates could be checked" in text
    assert "only exact" not in external_summary.overlap_sentence(external_results(STUDY))


def test_overlap_is_counted_and_its_effect_is_stated():
    frame = external_predictions(STUDY)
    frame["is_leaked"] = frame.index < 7
    results = external_results(STUDY, frame=frame)
    assert "7 external files overlap" in external_summary.overlap_sentence(results)
    assert "7 with equal bytes" in external_summary.overlap_sentence(results)
    assert "With the overlapping images" in external_summary.with_overlap_sentence(results)
    assert external_summary.with_overlap_sentence(external_results(STUDY)) == ""


def test_temperature_of_the_model_and_the_best_one_are_stated():
    results = external_results(STUDY, noise=0.5)
    text = plain(external_summary.temperature_sentence(results))
    assert "The temperature of the model is 1.384" in text
    assert "which is not used" in text
    assert "above the accuracy" in text
    assert results.temperature.best.value > results.temperature.of_model


def test_details_have_metrics_of_present_classes_and_of_all_outputs():
    blocks = external_content(inputs(external_results(STUDY, labels=SOME)))
    captions = [block.caption for block in blocks if isinstance(block, Table)]
    assert captions[:3] == [
        "External sets, over the classes present",
        "Classes present: external and internal",
        "All outputs: external and internal",
    ]
    (more,) = [block for block in blocks if isinstance(block, Collapsible)]
    assert any("with an ignored label" in b.text for b in more.blocks if isinstance(b, Paragraph))
    full = external_content(inputs(external_results(STUDY)))
    captions = [block.caption for block in full if isinstance(block, Table)]
    assert "Classes present: external and internal" not in captions


def test_set_without_internal_test_has_no_differences():
    results = external_results(STUDY, internal=False, labels=SOME)
    blocks = external_content(inputs(results))
    text = " ".join(block.text for block in blocks if isinstance(block, Paragraph))
    assert "There is no comparison with internal test images" in text
    tables = [block for block in blocks if isinstance(block, Table)]
    all_outputs = next(table for table in tables if table.caption.startswith("All outputs"))
    assert all(row[2].text == row[3].text == "–" for row in all_outputs.rows)
