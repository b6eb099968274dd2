"""The parts of the benchmark of the unknown score, on features with a known structure."""

import numpy as np
import pytest

from skin_lesions.models.network_outputs import NetworkOutputs
from support.benchmarks import import_benchmark

pytest.importorskip("timm")
benchmark = import_benchmark("unknown_score")


def images(n=600, seed=0):
    """Make features of four separate classes."""
    rng = np.random.default_rng(seed)
    number = np.arange(n) % 4
    features = 6 * np.eye(4, 10)[number] + rng.normal(size=(n, 10))
    split = np.array(["train", "train", "val", "test"])[np.arange(n) // 4 % 4]
    outputs = NetworkOutputs(logits=10 * features[:, :4], features=features)
    return benchmark.Images(outputs, np.array(list("abcd"))[number], split)


@pytest.mark.parametrize("method", ["mahalanobis", "nearest_neighbors"])
def test_separate_class_is_detected_when_it_is_left_out(method):
    auroc = benchmark.left_out_auroc(benchmark.METHODS[method], images(), ("d",))
    assert auroc > 0.95


@pytest.mark.parametrize("method", benchmark.METHODS)
def test_flagged_fractions_of_known_images_are_near_five_percent(method):
    photographs = NetworkOutputs(logits=np.zeros((20, 4)), features=np.full((20, 10), 30.0))
    found = benchmark.flagged_fractions(benchmark.METHODS[method], images(4000), photographs)
    assert found["test"]["value"] == pytest.approx(0.05, abs=0.03)
    if method != "mahalanobis, normalized features" and not method.startswith("energy"):
        assert found["photographs"]["value"] == 1.0


def test_linear_head_is_trained_without_the_classes_left_out():
    part, _ = benchmark.with_linear_head(images(), images().outputs, ("d",))
    assert part.outputs.logits.shape == (600, 3)
    test = (part.split == "test") & (part.label != "d")
    predicted = np.array(list("abc"))[part.outputs.logits[test].argmax(axis=1)]
    assert (predicted == part.label[test]).mean() > 0.95
