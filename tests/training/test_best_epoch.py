from types import SimpleNamespace

import torch
from torch import nn

from skin_lesions.training import best_epoch
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.state import TrainingProgress
from support.recipes import recipe


def finish_epochs(monkeypatch, val_accuracies, train_accuracies):
    """Finish epochs whose number is the weight of the network; return the progress."""
    network = nn.Linear(1, 1)
    context = SimpleNamespace(
        train_images=range(100),
        recipe=recipe(epochs=len(val_accuracies), selection_metric="accuracy"),
        eval_network=network,
        process_group=ProcessGroup(),
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
    )
    progress = TrainingProgress()
    for epoch, (val, train) in enumerate(zip(val_accuracies, train_accuracies, strict=True), 1):
        metrics = {"val_loss": 1.0, "val_accuracy": val, "val_balanced_accuracy": 1 - val}
        monkeypatch.setattr(best_epoch, "validate", lambda context, metrics=metrics: metrics)
        nn.init.constant_(network.weight, epoch)
        progress.seconds = 1.0
        progress.epoch_totals = torch.tensor([50.0, 100 * train])
        best_epoch.finish_epoch(context, progress)
    return progress


def test_weights_of_the_first_epoch_with_the_best_validation_value_are_kept(monkeypatch):
    progress = finish_epochs(monkeypatch, [0.5, 0.75, 0.75, 0.25], [0.25, 0.5, 0.75, 1.0])
    assert progress.best_value == 0.75
    assert progress.best_weights["weight"].item() == 2
    history = best_epoch.history_table(progress.history, "accuracy")
    assert history["best"].tolist() == [False, True, False, False]


def test_history_has_the_means_of_the_training_images(monkeypatch):
    [record] = finish_epochs(monkeypatch, [0.5], [0.25]).history
    assert record["train_loss"] == 0.5
    assert record["train_accuracy"] == 0.25
    assert record["images_per_second"] == 100
