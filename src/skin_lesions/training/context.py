"""Context of a running training: everything that is created once, at its start."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skin_lesions.config.train import TrainRecipe
from skin_lesions.data.loader import ImageDataset, steps_per_epoch
from skin_lesions.models.networks import classifier_head, layer_groups
from skin_lesions.models.precision import choose_precision
from skin_lesions.training.distributed import Forward, ProcessGroup
from skin_lesions.training.ema import ModelEma
from skin_lesions.training.job import TrainingJob
from skin_lesions.training.losses import Loss, build_loss, sampling_weights
from skin_lesions.training.optimizers import build_optimizer
from skin_lesions.training.schedules import image_size_at


@dataclass(frozen=True, kw_only=True)
class TrainingContext:
    """Everything that a training uses, except its progress.

    The objects do not change, but training changes the state of network, optimizer, scaler and EMA.

    Attributes:
        recipe: All settings.
        train_images: Images to train on.
        val_images: Images to validate on, at their image size.
        device, precision, memory_format: Of the computation.
        network: Network on the device; ``wrap_network`` returns the function that is trained.
        optimizer: Optimizer of all parameters, with one learning rate per layer group.
        scaler: Scales the loss in float16; otherwise without effect.
        loss: Training loss.
        sampling_weights: (images,), or None for equal weights.
        ema: Average of the weights, or None.
        process_group: Processes that train together.
        steps_per_epoch: Number of optimizer steps of an epoch.
        epoch_costs: Cost of each epoch, in trained pixels.
    """

    recipe: TrainRecipe
    train_images: ImageDataset
    val_images: ImageDataset
    device: torch.device
    precision: torch.dtype
    memory_format: torch.memory_format
    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss: Loss
    sampling_weights: npt.NDArray[np.float64] | None
    ema: ModelEma | None
    process_group: ProcessGroup
    steps_per_epoch: int
    epoch_costs: list[float]

    @property
    def total_steps(self) -> int:
        """Number of steps of all epochs."""
        return self.recipe.epochs * self.steps_per_epoch

    @property
    def frozen_backbone_epochs(self) -> int:
        """Epochs that train only the head; 0 if the backbone is random and so uninformative."""
        return self.recipe.frozen_backbone_epochs if self.recipe.pretrained else 0

    @property
    def eval_network(self) -> nn.Module:
        """The network to validate and to save: the EMA if there is one."""
        return self.network if self.ema is None else self.ema.network


def create_context(
    job: TrainingJob, process_group: ProcessGroup, device: torch.device
) -> TrainingContext:
    """Move the network to the device, and create the optimizer, the loss and the EMA."""
    recipe = job.recipe
    channels_last = recipe.memory_format == "channels_last"
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    network = job.network.to(device).to(memory_format=memory_format)
    network = process_group.with_sync_batchnorm(network, device)
    precision = choose_precision(device, recipe.precision)
    labels = job.train_images.labels.numpy()
    class_counts = np.bincount(labels, minlength=job.train_images.num_classes)
    return TrainingContext(
        recipe=recipe,
        train_images=job.train_images,
        val_images=job.val_images,
        device=device,
        precision=precision,
        memory_format=memory_format,
        network=network,
        optimizer=build_optimizer(
            layer_groups(network), recipe.optimizer, pretrained=recipe.pretrained
        ),
        # Only float16 underflows; bfloat16 has the range of float32.
        scaler=torch.amp.GradScaler(device.type, enabled=precision == torch.float16),
        loss=build_loss(class_counts, recipe, device),
        sampling_weights=sampling_weights(labels, recipe),
        ema=ModelEma(network) if recipe.ema_decay is not None else None,
        process_group=process_group,
        steps_per_epoch=steps_per_epoch(
            len(labels), recipe.batch_size, process_group.min_batch_size
        ),
        epoch_costs=_epoch_costs(job),
    )


def _epoch_costs(job: TrainingJob) -> list[float]:
    """Return the cost of each epoch in trained pixels; predicting a pixel costs a third of that."""
    validation = len(job.val_images) * job.recipe.eval_image_size**2 / 3
    sizes = [image_size_at(epoch, job.recipe) for epoch in range(1, job.recipe.epochs + 1)]
    return [len(job.train_images) * size**2 + validation for size in sizes]


def set_trainable_layers(context: TrainingContext, epoch: int) -> None:
    """Set the trainable layers of an epoch: all layers, or only the head in the first epochs."""
    head_only = epoch <= context.frozen_backbone_epochs
    context.network.train(not head_only)  # frozen layers keep their batch statistics
    context.network.requires_grad_(not head_only)
    classifier_head(context.network).train().requires_grad_(requires_grad=True)


def wrap_network(context: TrainingContext) -> Forward:
    """Return the network as training calls it: compiled, and wrapped in DDP, if needed.

    DDP registers hooks only for parameters that are trainable at this time.
    """
    network = context.network
    if context.recipe.compile and context.device.type == "cuda":
        network = cast(nn.Module, torch.compile(network))
    return context.process_group.wrap_ddp(network, context.device)
