from skin_lesions.reporting.formatting import format_inline, headline

HALF = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 100}


def test_estimate_is_formatted_with_its_interval():
    assert format_inline(HALF) == "0.500 (0.400 to 0.600)"


def test_unknown_value_is_formatted_with_its_reason():
    unknown = {"value": None, "low": None, "high": None, "n": 0, "reason": "one class only"}
    assert format_inline(unknown) == "unknown (one class only)"


def test_headline_has_three_metrics_and_the_number_of_images():
    metrics = {"balanced_accuracy": HALF, "accuracy": HALF, "auroc_macro": HALF, "n": 7}
    assert headline(metrics) == (
        "balanced accuracy 0.500 (0.400 to 0.600), accuracy 0.500 (0.400 to 0.600), "
        "AUROC 0.500 (0.400 to 0.600); 7 images"
    )
