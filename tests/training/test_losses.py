import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from skin_lesions.training.losses import build_loss, sampling_weights
from support.recipes import recipe

COUNTS = np.array([90, 9, 1])
LABELS = torch.tensor([0, 1, 2, 0])
LOGITS = torch.tensor([[2.0, 0, 1], [0, 1, 0], [1, 1, 1], [0, 3, 0]])


def loss(logits=LOGITS, labels=LABELS, **changes):
    function = build_loss(COUNTS, recipe(**changes), torch.device("cpu"))
    return function(logits, one_hot(labels, 3).float())


def test_loss_without_options_is_cross_entropy():
    torch.testing.assert_close(loss(), cross_entropy(LOGITS, LABELS))


def test_smoothing_is_uniform_over_all_classes():
    expected = cross_entropy(LOGITS, LABELS, label_smoothing=0.2)
    torch.testing.assert_close(loss(label_smoothing=0.2), expected)


def test_weights_give_every_class_the_same_total_and_the_average_image_one():
    uniform = torch.zeros(1, 3)
    class_losses = [loss(uniform, torch.tensor([c]), class_balance="weights") for c in range(3)]
    totals = [n * value.item() for n, value in zip(COUNTS, class_losses, strict=True)]
    assert totals == pytest.approx([totals[0]] * 3)
    assert sum(totals) / 100 == pytest.approx(np.log(3))


def test_weight_of_an_image_is_that_of_its_class_and_not_of_its_smoothed_target():
    """For uniform logits the loss does not depend on the target, so only the weight remains."""
    uniform = torch.zeros(1, 3)
    for label in range(3):
        changes = {"labels": torch.tensor([label]), "class_balance": "weights"}
        torch.testing.assert_close(
            loss(uniform, label_smoothing=0.2, **changes), loss(uniform, **changes)
        )


def test_logit_adjustment_adds_the_log_prior_to_the_logits():
    """Logits of zero then predict the class prior, so the loss is that of the prior."""
    log_prior = torch.tensor(COUNTS / 100).log().float()
    uniform = torch.zeros(3, 3)
    labels = torch.arange(3)
    adjusted = loss(uniform, labels, class_balance="logit_adjustment")
    torch.testing.assert_close(adjusted, -log_prior.mean())


def test_losses_of_parts_sum_to_the_loss_of_the_batch():
    function = build_loss(COUNTS, recipe(class_balance="weights"), torch.device("cpu"))
    targets = one_hot(LABELS, 3).float()
    parts = function(LOGITS[:3], targets[:3]) * 3 + function(LOGITS[3:], targets[3:])
    torch.testing.assert_close(parts / 4, function(LOGITS, targets))


def test_square_root_sampler_draws_classes_by_the_square_root_of_their_size():
    labels = np.repeat([0, 1, 2], COUNTS)
    weights = sampling_weights(labels, recipe(class_balance="square_root_sampler"))
    totals = np.bincount(labels, weights=weights)
    np.testing.assert_allclose(totals / totals[2], [np.sqrt(90), 3, 1])


@pytest.mark.parametrize("balance", ["none", "weights", "logit_adjustment"])
def test_other_balances_sample_images_uniformly(balance):
    assert sampling_weights(np.array([0, 1]), recipe(class_balance=balance)) is None


@pytest.mark.parametrize("balance", ["weights", "logit_adjustment"])
def test_loss_is_finite_for_a_class_without_training_images(balance):
    balanced = recipe(class_balance=balance, label_smoothing=0.1)
    function = build_loss(np.array([5, 0, 5]), balanced, torch.device("cpu"))
    assert function(LOGITS, one_hot(LABELS, 3).float()).isfinite()


@pytest.mark.parametrize("balance", ["none", "weights", "logit_adjustment"])
@pytest.mark.parametrize("smoothing", [0.05, 0.1, 0.3])
def test_class_of_two_images_is_not_predicted_for_all_images(smoothing, balance):
    """Perfectly trained, smoothing included, the network must still predict the correct class."""
    counts = np.array([2, 600, 900])
    changes = recipe(class_balance=balance, label_smoothing=smoothing)
    function = build_loss(counts, changes, torch.device("cpu"))
    logits = torch.zeros(3, 3, requires_grad=True)  # one row for the images of each class
    optimizer = torch.optim.LBFGS([logits], max_iter=500, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        rows = zip(logits.split(1), torch.eye(3).split(1), counts, strict=True)
        loss = sum(function(row, target) * n for row, target, n in rows) / counts.sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert logits.argmax(dim=1).tolist() == [0, 1, 2]
