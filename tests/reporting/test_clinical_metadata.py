"""What report and model card say about clinical metadata."""

from dataclasses import replace

from skin_lesions.evaluation.fusion import without_metadata
from skin_lesions.reporting.blocks import Paragraph
from skin_lesions.reporting.figures.missing_metadata import draw_missing_metadata, title
from skin_lesions.reporting.model_card import render_model_card
from skin_lesions.reporting.sections.clinical_metadata import (
    clinical_metadata_content,
    equalized_sentences,
    fusion_sentence,
)
from skin_lesions.reporting.sections.findings import all_findings
from support.report_inputs import two_classes


def texts(inputs) -> str:
    blocks = clinical_metadata_content(inputs)
    return " ".join(str(block.text) for block in blocks if isinstance(block, Paragraph))


def test_section_states_the_difference_with_its_verdict_and_the_weight():
    inputs = two_classes().report_inputs()
    entry = inputs.fusion.overall.by_metadata["balanced_accuracy"]
    assert entry.verdict == "no_difference_shown"
    sentence = fusion_sentence(inputs.fusion)
    assert "No difference shown: the 95 % interval contains zero." in sentence
    assert f"The difference is {100 * entry.difference.value:+.1f} percentage points" in sentence
    assert "The weight of the metadata is 0.80" in sentence
    level = {entry.removed: entry.balanced_accuracy for entry in inputs.fusion.missing}
    assert f"{100 * level[1.0]:.1f}" in texts(inputs)


def test_verdict_is_stated_in_words():
    fusion = two_classes().fusion
    entry = fusion.overall.by_metadata["balanced_accuracy"]
    for verdict, words in (
        ("candidate_better", "The metadata improve the predictions."),
        ("baseline_better", "The metadata make the predictions worse."),
    ):
        changed = {"balanced_accuracy": entry.model_copy(update={"verdict": verdict})}
        overall = fusion.overall.model_copy(update={"by_metadata": changed})
        assert words in fusion_sentence(fusion.model_copy(update={"overall": overall}))


def test_training_with_metadata_is_stated():
    late = two_classes().fusion
    assert "trained together" not in fusion_sentence(late)
    assert "1 means that image and metadata are independent" in fusion_sentence(late)
    sentence = fusion_sentence(late.model_copy(update={"method": "concat"}))
    assert sentence.startswith("The network was trained together with the metadata.")
    assert "1 is the weight in the training of the network" in sentence


def test_report_of_images_only_says_how_to_use_metadata():
    made = two_classes()
    fusion = without_metadata(made.metrics.provenance)
    inputs = replace(made.report_inputs(), fusion=fusion)
    assert "The model uses images only" in texts(inputs)
    assert "the model uses no metadata" in title(fusion)
    assert draw_missing_metadata(fusion).axes
    card = render_model_card(**vars(inputs))
    assert "no other information about the patient" in card
    assert "Clinical metadata:" not in card
    assert "optional clinical metadata: age, sex" in render_model_card(**made.card_arguments())


def test_predictive_missing_values_are_stated_and_severe_if_they_are_not_equalized():
    made = two_classes()
    assert equalized_sentences(made.fusion)[0].startswith(
        "Missing values of age predict the class. Training values were therefore dropped"
    )
    fusion = made.fusion.model_copy(update={"equalized": False})
    inputs = replace(made.report_inputs(), fusion=fusion)
    severe = {finding.id: finding for finding in all_findings(inputs) if finding.severity == "high"}
    assert "(age)" in severe["unequal_missingness"].message
    assert "metadata.equalize_missing=false" in equalized_sentences(fusion)[0]
    assert severe["unequal_missingness"].message[:40] in render_model_card(**vars(inputs))
    ids = {finding.id for finding in all_findings(made.report_inputs())}
    assert "unequal_missingness" not in ids
