import re
from dataclasses import replace

import pytest

from skin_lesions.deployment.app import rendering
from skin_lesions.deployment.app.analysis import Analyzer
from skin_lesions.deployment.app.uploads import Upload
from skin_lesions.models.postprocessing.conformal import ClassThreshold, ConformalThresholds
from support.color_predictor import (
    CERTAIN,
    FEATURES,
    UNCERTAIN,
    UNKNOWN,
    ColorPredictor,
    image_file,
    model_description,
)
from support.postprocessing import postprocessing, unknown_score

SCRIPT = "<script>alert(1)</script>"


def page(*files, **options):
    analyzer = Analyzer(ColorPredictor(**options))
    found = [analyzer.analyze(Upload(file=f, size=len(d), data=d)) for f, d in files]
    html = rendering.render_results(found, analyzer)
    return re.sub(r"data:[^\"]+", "", html).replace("\u00a0", " ")


def test_header_says_what_the_model_is_not_for():
    html = rendering.render_header(model_description())
    assert "Research software, not a medical device" in html
    assert "Do not use it for diagnosis, triage or treatment" in html
    assert "Melanoma, Nevus, Vascular lesions" in html
    assert "synthetic" not in html


def test_header_warns_of_synthetic_training_images():
    html = rendering.render_header(model_description(is_synthetic=True))
    assert "trained on synthetic images" in html


def test_limits_of_uploads_are_on_the_page():
    assert "JPEG, PNG, BMP, TIFF, WEBP, GIF" in rendering.render_limits()
    assert "at most 30 MB and 100 megapixels" in rendering.render_limits()


def test_page_without_images_has_no_results():
    assert page() == ""


def test_certain_image_has_no_warning():
    html = page(("a.png", image_file(CERTAIN)))
    assert "Refer to a clinician" not in html
    assert "Not a known class" not in html
    assert "Predicted class" in html


def test_uncertain_image_is_referred():
    html = page(("a.png", image_file(UNCERTAIN)))
    assert "Refer to a clinician" in html
    assert "below 60 %" in html


def test_unknown_image_has_no_predicted_class_but_the_most_similar_one():
    html = page(("a.png", image_file(UNKNOWN)))
    assert "Not a known class" in html
    assert "Predicted class" not in html
    assert "Most similar of the known classes" in html


def test_unreadable_file_has_the_reason():
    html = page(("notes.txt", b"x"))
    assert "notes.txt" in html
    assert "No result" in html
    assert "not an image in a known format" in html


def test_other_classes_than_the_most_probable_ones_are_folded():
    classes = tuple(f"class {i}" for i in range(9))
    fitted = ColorPredictor(classes=classes)
    assert fitted.description.classes == classes
    html = page(("a.png", image_file()), classes=classes)
    visible, _, folded = html.partition("<details>")
    assert visible.count('class="track"') == 6
    assert folded.count('class="track"') == 3
    assert "3 other classes" in folded


@pytest.mark.parametrize(
    ("has_heat_maps", "text"),
    [(True, "Class activation map of <em>Melanoma"), (False, "has no class activation map")],
)
def test_map_or_the_reason_for_no_map_is_shown(has_heat_maps, text):
    assert text in page(("a.png", image_file()), has_heat_maps=has_heat_maps)


def test_table_is_shown_for_more_than_one_file():
    one = [("a.png", image_file(UNCERTAIN))]
    assert "<table>" not in page(*one)
    assert page(*one, ("b.png", b"x")).count("<tr>") == 3


def test_untrusted_names_are_escaped():
    html = page((SCRIPT, image_file()), (SCRIPT, b"x"), classes=(SCRIPT, "b", "c"))
    assert "<script" not in html
    header = rendering.render_header(
        replace(model_description(), classes=(SCRIPT, "b"), version=SCRIPT, architecture=SCRIPT)
    )
    assert "<script" not in header


def test_style_loads_nothing():
    assert "url(" not in rendering.style()
    assert "@import" not in rendering.style()


def test_predicted_class_outside_of_the_set_needs_a_second_look():
    assert "second look" not in page(("a.png", image_file(CERTAIN)))
    strict = ConformalThresholds(
        coverage=0.9,
        classes=(ClassThreshold(min_probability=1.1, calibrated_on="class", n=9),) * 3,
    )
    fitted = postprocessing((9, 9, 9), conformal=strict, unknown_score=unknown_score(FEATURES))
    html = page(("a.png", image_file(CERTAIN)), postprocessing=fitted)
    assert "empty: no class is probable enough" in html
    assert "does not contain the predicted class" in html


def test_predicted_class_that_is_not_the_most_probable_one_is_explained():
    assert "equally common" not in page(("a.png", image_file(CERTAIN)))
    fitted = postprocessing((1, 9999, 1), unknown_score=unknown_score(FEATURES))
    assert "equally common" in page(("a.png", image_file(UNCERTAIN)), postprocessing=fitted)
