from skin_lesions.evaluation.scorecard import (
    ClassMetrics,
    ConfusionMatrix,
    MalignancyMetrics,
    SplitMetrics,
)
from skin_lesions.metrics.intervals import Estimate, unavailable
from skin_lesions.reporting.formatting import format_inline, headline

HALF = Estimate(value=0.5, low=0.4, high=0.6, n=100)


def test_estimate_is_formatted_with_its_interval():
    assert format_inline(HALF) == "0.500 (0.400 to 0.600)"


def test_unknown_value_is_formatted_with_its_reason():
    assert format_inline(unavailable("one class only")) == "unknown (one class only)"


def test_unknown_interval_is_formatted_with_its_reason():
    estimate = Estimate(value=0.5, low=None, high=None, n=2, reason="too few groups")
    assert format_inline(estimate) == "0.500 (too few groups)"


def split_metrics(**support):
    return SplitMetrics(
        n=7,
        groups=7,
        per_class={label: ClassMetrics(support=n, correct=0) for label, n in support.items()},
        confusion=ConfusionMatrix(classes=(), counts=()),
        malignant=MalignancyMetrics(
            auroc=HALF, sensitivity=HALF, specificity=HALF, classes=(), excluded_classes=()
        ),
        balanced_accuracy=HALF,
        accuracy=HALF,
        auroc_macro=HALF,
    )


def test_headline_has_three_metrics_and_the_number_of_images():
    assert headline(split_metrics(nv=4, mel=3)) == (
        "balanced accuracy 0.500 (0.400 to 0.600), accuracy 0.500 (0.400 to 0.600), "
        "AUROC 0.500 (0.400 to 0.600); 7 images"
    )


def test_headline_states_how_many_classes_were_evaluated_if_not_all():
    assert headline(split_metrics(nv=4, mel=3, bcc=0)).endswith(
        "; 7 images, 2 of 3 classes evaluated (no images of bcc)"
    )
    many = dict.fromkeys("abcdef", 0)
    assert headline(split_metrics(nv=7, **many)).endswith(
        "1 of 7 classes evaluated (no images of a, b, c, d, e ...)"
    )
