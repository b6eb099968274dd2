"""The processes that train one network together, and each one's part of the work."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from skin_lesions.models.networks import to_sync_batchnorm

Forward = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class ProcessGroup:
    """``size`` processes, this one the ``rank``-th; rank 0 leads: it alone logs and writes."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "ProcessGroup":
        """Return the world of the process group that this process is in."""
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_main_process(self) -> bool:
        """Whether this process speaks for all."""
        return self.rank == 0

    @property
    def min_batch_size(self) -> int:
        """Images that a batch needs: two for each process, since one has no batch statistics."""
        return 2 * self.size

    def shard(self, n: int) -> slice:
        """Return which of n images in a row are this process's; pairs stay together (mixup)."""
        first, last = (2 * (n // 2 * rank // self.size) for rank in (self.rank, self.rank + 1))
        return slice(first, n if self.rank == self.size - 1 else last)

    def max_accumulation_steps(self, n: int) -> int:
        """Return in how many parts, at most, each process can compute its images of n.

        As many in every process, since they wait for each other, and two images in each: one alone has
        no batch statistics.
        """
        return max(1, n // self.min_batch_size)

    def with_sync_batchnorm(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Let batch statistics be those of all processes' images, where that is to be had: on CUDA."""
        shares = self.size > 1 and device.type == "cuda"
        return to_sync_batchnorm(network) if shares else network

    def wrap_ddp(self, network: nn.Module, device: torch.device) -> Forward:
        """Return the network (compiled or not), such that gradients are the mean of all processes'."""
        if self.size == 1:
            return network
        places = [torch.cuda.current_device()] if device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=places)

    def no_sync(self, forward: Forward, is_last: bool) -> AbstractContextManager[None]:
        """Exchange gradients with the last part of a batch only."""
        if is_last or not isinstance(forward, DistributedDataParallel):
            return nullcontext()
        return forward.no_sync()

    def all_reduce_sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def broadcast_buffers(self, network: nn.Module) -> None:
        """Take over the leader's batch statistics."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, src=0)

    def all_gather(self, value: Any) -> list[Any]:
        """Return every process's value, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values
