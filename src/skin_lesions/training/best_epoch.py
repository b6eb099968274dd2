"""Validation after each epoch and selection of the best epoch."""

import logging
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import balanced_accuracy_score
from torch.nn.functional import cross_entropy

from skin_lesions.models.inference import predict_logits
from skin_lesions.training.callbacks import check_finite
from skin_lesions.training.checkpoints import snapshot
from skin_lesions.training.optimizers import max_learning_rate
from skin_lesions.training.schedules import image_size_at
from skin_lesions.training.state import TrainingRun

log = logging.getLogger(__name__)


def finish_epoch(run: TrainingRun) -> None:
    """Validate the epoch, record and log its metrics, and start the next epoch.

    Raises:
        InputError: The validation loss is not finite. The last step of an epoch can corrupt the
            weights without any later training loss showing it.
    """
    start = time.perf_counter()
    val_metrics = validate(run)
    check_finite(run, val_metrics["val_loss"], "validation loss", max_learning_rate(run.optimizer))
    # epoch_totals: (2,), sums over images of the loss and of correct predictions.
    mean_loss, accuracy = (run.epoch_totals / len(run.train_images)).tolist()
    record = {
        "epoch": run.epoch,
        "image_size": image_size_at(run.epoch, run.recipe),
        "learning_rate": max_learning_rate(run.optimizer),
        "train_loss": mean_loss,
        "train_accuracy": accuracy,
        **val_metrics,
        "seconds": run.seconds + time.perf_counter() - start,
        "images_per_second": len(run.train_images) / run.seconds,
    }
    run.history.append(record)
    if record[f"val_{run.recipe.selection_metric}"] > run.best_value:
        run.best_value = record[f"val_{run.recipe.selection_metric}"]
        run.best_weights = snapshot(run.eval_network.state_dict())
    if run.process_group.is_main_process:
        _log_epoch(record, run.recipe.epochs)
    run.epoch, run.step, run.seconds = run.epoch + 1, 0, 0.0
    run.epoch_totals.zero_()


def validate(run: TrainingRun) -> dict[str, float]:
    """Predict the validation images, one shard per process, and compute the metrics."""
    network, process_group, images = run.eval_network, run.process_group, run.val_images
    process_group.broadcast_buffers(network)
    shard = images.subset(process_group.shard(len(images)))
    logits = np.concatenate(
        process_group.all_gather(
            predict_logits(network, shard, 2 * run.recipe.batch_size, run.device, run.precision)
        )
    )
    # logits: (images, classes), in the order of the images because shards are contiguous.
    labels = images.labels.numpy()
    predicted = logits.argmax(axis=1)
    loss = cross_entropy(torch.from_numpy(logits), images.labels)
    return {
        "val_loss": float(loss),
        "val_accuracy": float(np.mean(predicted == labels)),
        "val_balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
    }


def history_table(records: list[dict[str, Any]], selection_metric: str) -> pd.DataFrame:
    """Return one row per epoch; ``best`` marks the selected epoch, the first one of equals."""
    history = pd.DataFrame(records)
    return history.assign(best=history.index == history[f"val_{selection_metric}"].idxmax())


def _log_epoch(record: dict[str, Any], epochs: int) -> None:
    log.info(
        "Epoch %d/%d: training loss %.3f, validation loss %.3f, accuracy %.3f, "
        "balanced accuracy %.3f (%.0f s, %.0f images/s)",
        record["epoch"],
        epochs,
        record["train_loss"],
        record["val_loss"],
        record["val_accuracy"],
        record["val_balanced_accuracy"],
        record["seconds"],
        record["images_per_second"],
    )
