import logging
from types import SimpleNamespace

from skin_lesions.hooks import RunSummary
from skin_lesions.reporting.formatting import headline
from support.report_inputs import two_classes


def test_last_lines_of_a_run_have_the_metrics_of_the_test_images(caplog):
    metrics = two_classes(policy="original").metrics
    metrics = metrics.model_copy(
        update={"test_clean": metrics.validation, "test_leaked": metrics.validation}
    )
    assert headline(metrics.test) != headline(metrics.validation)
    pipeline = SimpleNamespace(all_outputs=lambda: {"metrics"})
    catalog = SimpleNamespace(load={"metrics": metrics}.get)
    with caplog.at_level(logging.INFO):
        RunSummary().after_pipeline_run(pipeline, catalog)
    assert caplog.messages == [f"Test (original split): {headline(metrics.test)}"]
