"""The risk-coverage curve shows the points of the results."""

from dataclasses import replace

import numpy as np
import pytest

from skin_lesions.reporting.figures import risk_coverage
from support.report_inputs import Study, two_classes


@pytest.fixture(scope="module")
def study():
    return Study(["Benign", "Melanoma", "Nevus"], [160, 160, 160])


@pytest.fixture(scope="module")
def axes(study):
    return study.draw(risk_coverage.FIGURE).axes[0]


def without_threshold(study):
    model = study.model
    referral = replace(
        model.postprocessing.referral,
        min_confidence=None,
        reason="made up",
        answered=0,
        accuracy=None,
    )
    fitted = replace(model.postprocessing, referral=referral)
    study.model = model.model_copy(update={"postprocessing": fitted})
    return study


def test_curve_has_the_risk_of_each_fraction_of_test_images(study, axes):
    rows = study.predictions.frame
    test = rows[rows["split"] == "test"]
    confidence = test[["p_Benign", "p_Melanoma", "p_Nevus"]].to_numpy().max(axis=1)
    wrong = (test["label"] != test["predicted"]).to_numpy()[np.argsort(-confidence)]
    curve = axes.lines[0]
    n = len(test)
    assert curve.get_xdata() == pytest.approx(np.arange(1, n + 1) / n)
    assert curve.get_ydata() == pytest.approx(np.cumsum(wrong) / np.arange(1, n + 1))


def test_intervals_are_those_of_the_results(study, axes):
    expected = [
        (p.coverage, p.risk.low, p.risk.high) for p in study.uncertainty.test.selective.curve
    ]
    segments = [lines.get_segments()[0] for lines in axes.collections]
    drawn = [(x, low, high) for (x, low), (_, high) in segments]
    assert np.array(drawn) == pytest.approx(np.array(expected))


def test_referral_threshold_is_marked_on_the_curve(study, axes):
    curve, marker = axes.lines[0], axes.lines[-1]
    assert marker.get_marker() == "D"
    (x,), (y,) = marker.get_xdata(), marker.get_ydata()
    assert y == pytest.approx(np.interp(x, curve.get_xdata(), curve.get_ydata()))


def test_title_states_fraction_and_accuracy_with_interval_and_target(study):
    referral = study.uncertainty.test.selective.referral
    title = risk_coverage.title(study.uncertainty)
    assert f"{100 * referral.referred.value:.0f} % of the images are referred" in title
    assert f"an accuracy of {100 * referral.accuracy_answered.value:.1f} %" in title
    assert "target 90 %" in title


def test_without_a_threshold_the_title_states_it_and_no_point_is_marked():
    study = without_threshold(two_classes())
    figure = study.draw(risk_coverage.FIGURE)
    assert "no referral threshold reached" in risk_coverage.title(study.uncertainty)
    assert all(line.get_marker() != "D" for line in figure.axes[0].lines)
