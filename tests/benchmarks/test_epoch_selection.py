import numpy as np
import pytest

from support.benchmarks import import_benchmark

epoch_selection = import_benchmark("epoch_selection")


def outputs(right, n=400, classes=4, seed=0):
    """Return outputs that are right for a fraction of the images in each epoch, and the groups."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    logits = rng.normal(size=(len(right), n, classes))
    is_right = rng.random((len(right), n)) < np.array(right)[:, None]
    shown = np.where(is_right, labels, (labels + 1) % classes)  # (epochs, n)
    np.put_along_axis(logits, shown[..., None], 5.0, axis=2)
    return epoch_selection.Outputs(logits, np.zeros(classes), labels), np.arange(n) // 2


def test_each_rule_finds_a_clearly_best_epoch():
    found = epoch_selection.compare_rules(*outputs([0.2, 0.3, 0.9, 0.3, 0.2]), seed=0)
    epochs = {rule: values["epoch"] for rule, values in found.items()}
    assert epochs.pop("last epoch") == 5
    assert set(epochs.values()) == {3.0}
    assert found["accuracy"]["balanced_accuracy"] == pytest.approx(0.9, abs=0.05)


def test_selection_among_equal_epochs_is_optimistic_and_the_last_epoch_is_not():
    found = epoch_selection.compare_rules(*outputs([0.6] * 12), seed=0)
    assert found["balanced accuracy"]["optimism"] > 0.01
    assert abs(found["last epoch"]["optimism"]) < 0.01


def test_balanced_log_loss_gives_each_class_the_same_weight():
    logits = np.log(np.array([[[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.5, 0.5]]]))
    of_classes = epoch_selection.Outputs(logits, np.zeros(2), np.array([0, 0, 0, 1]))
    expected = -(np.log(0.9) + np.log(0.5)) / 2
    assert of_classes.log_loss(np.ones(1)) == pytest.approx(expected)
