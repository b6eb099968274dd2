import pytest

from support.benchmarks import import_benchmark

coverage = import_benchmark("interval_coverage")


@pytest.mark.parametrize("setting", list(coverage.SETTINGS))
def test_intervals_contain_the_true_value_about_as_often_as_they_claim(setting, monkeypatch):
    """200 replications with a fixed seed; the standard error of a coverage of 95 % is 1.5 %."""
    monkeypatch.setattr(coverage, "LARGE_SPLIT", 50_000)
    for metric, row in coverage.measure(coverage.SETTINGS[setting], 200).items():
        if metric == "average_precision_macro" and row["has_interval"] < 1:
            continue  # classes are too small for an interval
        assert row["has_interval"] == 1, metric
        assert 0.90 <= row["coverage"] <= 0.99, metric
