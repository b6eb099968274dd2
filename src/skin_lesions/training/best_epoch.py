"""Validation after each epoch and selection of the best epoch."""

import logging
import time

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import balanced_accuracy_score
from torch.nn.functional import cross_entropy

from skin_lesions.models.inference import predict_logits
from skin_lesions.training.callbacks import check_finite
from skin_lesions.training.concat_network import ConcatNetwork
from skin_lesions.training.context import TrainingContext
from skin_lesions.training.optimizers import max_learning_rate
from skin_lesions.training.schedules import image_size_at
from skin_lesions.training.state import (
    EpochRecord,
    TrainingProgress,
    ValidationMetrics,
    selection_value,
    snapshot,
)

log = logging.getLogger(__name__)


def finish_epoch(context: TrainingContext, progress: TrainingProgress) -> None:
    """Validate the epoch, record and log its metrics, and start the next epoch.

    Raises:
        InputError: The validation loss is not finite. The last step of an epoch can corrupt the
            weights without any later training loss showing it.
    """
    start = time.perf_counter()
    metrics = validate(context)
    learning_rate = max_learning_rate(context.optimizer)
    check_finite(
        context,
        metrics["val_loss"],
        name="validation loss",
        epoch=progress.epoch,
        step=progress.step,
        learning_rate=learning_rate,
    )
    images = len(context.train_images)
    # epoch_totals: (2,), sums over images of the loss and of correct predictions.
    mean_loss, accuracy = (progress.epoch_totals / images).tolist()
    record: EpochRecord = {
        "epoch": progress.epoch,
        "image_size": image_size_at(progress.epoch, context.recipe),
        "learning_rate": learning_rate,
        "train_loss": mean_loss,
        "train_accuracy": accuracy,
        **metrics,
        "seconds": progress.seconds + time.perf_counter() - start,
        "images_per_second": images / progress.seconds,
    }
    progress.history.append(record)
    value = selection_value(metrics, context.recipe.selection_metric)
    if value > progress.best_value:
        progress.best_value = value
        progress.best_weights = snapshot(context.eval_network.state_dict())
    if context.process_group.is_main_process:
        _log_epoch(record, context.recipe.epochs)
    progress.start_next_epoch()


def validate(context: TrainingContext) -> ValidationMetrics:
    """Predict the validation images, one shard per process, and compute the metrics."""
    network, process_group = context.eval_network, context.process_group
    process_group.broadcast_buffers(network)
    shard = context.val_images.subset(process_group.shard(len(context.val_images)))
    shard_logits = predict_logits(
        network, shard, 2 * context.recipe.batch_size, context.device, context.precision
    )
    if isinstance(network, ConcatNetwork) and shard.metadata is not None:
        shard_logits += shard.metadata.numpy() @ network.coefficients.T
    # (images, classes), in the order of the images because shards are contiguous.
    logits = np.concatenate(process_group.all_gather(shard_logits))
    labels = context.val_images.labels
    predicted = logits.argmax(axis=1)
    return {
        "val_loss": float(cross_entropy(torch.from_numpy(logits), labels)),
        "val_accuracy": float(np.mean(predicted == labels.numpy())),
        "val_balanced_accuracy": float(balanced_accuracy_score(labels.numpy(), predicted)),
    }


def history_table(records: list[EpochRecord], selection_metric: str) -> pd.DataFrame:
    """Return one row per epoch; ``best`` marks the selected epoch, the first one of equals."""
    history = pd.DataFrame(records)
    return history.assign(best=history.index == history[f"val_{selection_metric}"].idxmax())


def _log_epoch(record: EpochRecord, epochs: int) -> None:
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
