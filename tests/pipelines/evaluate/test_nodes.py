"""Nodes of the pipeline `evaluate`."""

from skin_lesions.config.evaluate import Evaluate
from skin_lesions.pipelines.evaluate.nodes import score
from support.report_inputs import two_classes, with_leaky_weights

EVALUATE = Evaluate(bootstrap_replicates=100, seed=0, batch_size=8, device="cpu")


def test_metrics_record_the_leakage_by_the_initial_weights():
    inputs = two_classes()
    leaky = score(inputs.predictions, with_leaky_weights(inputs.model), EVALUATE)
    assert leaky.provenance.leaked_test_images == 7
    assert score(inputs.predictions, inputs.model, EVALUATE).provenance.leaked_test_images == 0
