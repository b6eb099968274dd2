"""Process group and sharding of batches for distributed training."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from skin_lesions.models.networks import to_sync_batchnorm

Forward = Callable[..., torch.Tensor]  # of images, or of images and metadata
T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """A process group of ``size`` processes; only rank 0, the main process, logs and writes."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "ProcessGroup":
        """Return the default process group of torch.distributed, seen from this process."""
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_main_process(self) -> bool:
        """Whether this process logs and writes."""
        return self.rank == 0

    @property
    def min_batch_size(self) -> int:
        """Minimum batch size: two images per process, because one has no batch statistics."""
        return 2 * self.size

    def shard(self, n: int) -> slice:
        """Return the shard of n images for this process; mixup pairs stay together."""
        pairs = n // 2  # (0, 1), (2, 3), ...
        first = 2 * (pairs * self.rank // self.size)
        last = 2 * (pairs * (self.rank + 1) // self.size)
        is_last_process = self.rank == self.size - 1  # takes the single image of an odd n, too
        return slice(first, n if is_last_process else last)

    def max_accumulation_steps(self, n: int) -> int:
        """Return the maximum number of gradient accumulation steps for a batch of n images.

        All processes need the same number, because collectives synchronize them. Each step needs
        two images per process, because one image has no batch statistics.
        """
        return max(1, n // self.min_batch_size)

    def with_sync_batchnorm(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Use batch statistics of all processes (SyncBatchNorm); available on CUDA only."""
        is_synchronized = self.size > 1 and device.type == "cuda"
        return to_sync_batchnorm(network) if is_synchronized else network

    def wrap_ddp(self, network: nn.Module, device: torch.device) -> Forward:
        """Wrap the network (compiled or not) in DDP, which averages gradients over processes."""
        if self.size == 1:
            return network
        device_ids = [torch.cuda.current_device()] if device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=device_ids)

    def gradient_sync(self, forward: Forward, *, enabled: bool) -> AbstractContextManager[None]:
        """Average gradients over processes in the backward pass of the block only if enabled."""
        if enabled or not isinstance(forward, DistributedDataParallel):
            return nullcontext()
        return forward.no_sync()

    def all_reduce_sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def broadcast_buffers(self, network: nn.Module) -> None:
        """Copy the batch statistics of the main process to all processes."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, src=0)

    def all_gather(self, value: T) -> list[T]:
        """Return the values of all processes, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        distributed.all_gather_object(values, value)
        return cast(list[T], values)
