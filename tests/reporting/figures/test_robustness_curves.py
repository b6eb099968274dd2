import pytest

from skin_lesions.evaluation.robustness import not_measured
from skin_lesions.reporting.figures.robustness_curves import draw_robustness_curves, title
from support.report_inputs import corruption_scores, two_classes


def texts(figure):
    """Return all visible texts of a figure, also those of its axes and legend."""
    figure.canvas.draw()
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return [text.get_text() for text in found if text.get_visible()]


@pytest.fixture(scope="module")
def study():
    return two_classes()


def test_title_names_the_largest_loss_and_what_is_left(study):
    expected = "ruler of strength 3 lowers the balanced accuracy most, by 84.0 percentage points"
    assert expected in title(study.robustness)


def test_title_without_a_loss_says_so(study):
    robust = study.robustness.model_copy(
        update={"corruptions": (corruption_scores("blur", -0.01, 50),)}
    )
    assert title(robust) == "Test: no corruption lowers the balanced accuracy"


def test_each_corruption_has_a_row_with_its_settings_and_three_points(study):
    figure = draw_robustness_curves(study.robustness)
    axes = figure.axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[0] == "Ruler"  # the largest loss first
    assert sorted(names) == sorted(entry.title for entry in study.robustness.corruptions)
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert len(points) == 3 * len(names)
    assert "5, 10, 15" in texts(figure)  # the quality of JPEG has no unit
    assert sum(text.replace("\u00a0", " ") == "5, 10, 15 %" for text in texts(figure)) == 7


def test_figure_says_that_the_robustness_was_not_measured(study):
    frame = study.predictions.frame
    result = not_measured(frame[frame["split"] == "test"], study.metrics.provenance)
    figure = draw_robustness_curves(result)
    assert title(result) == "Robustness to corrupted images was not measured"
    assert "Not measured. To measure: evaluate.robustness.enabled=true" in texts(figure)
