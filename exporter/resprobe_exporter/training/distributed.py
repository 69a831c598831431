"""Training in several processes that torchrun started: the same steps as one process, up to the order of summation.

Each process computes its share of every batch. Gradients are averaged by DistributedDataParallel. A batch norm must
see the whole batch, as it does in one process; torch's SyncBatchNorm refuses tensors on the CPU, so there is one here
for both devices.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class World:
    """The processes that train together; each has a rank, and rank 0 writes, logs and exports."""

    rank: int = 0
    size: int = 1

    def share(self, n: int) -> slice:
        """Which of n images are this process's."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def add_up(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values


ALONE = World()


@contextmanager
def join(device: torch.device) -> Iterator[World]:
    """Meets the other processes, by what torchrun left in the environment; without torchrun there is one.

    An error in the body is left to torchrun, which ends the other processes.
    """
    if not distributed.is_torchelastic_launched():
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(distributed.get_node_local_rank())
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    yield World(distributed.get_rank(), distributed.get_world_size())
    distributed.destroy_process_group()


@contextmanager
def parallel(net: nn.Module, world: World) -> Iterator[nn.Module]:
    """What to call instead of the net in training. Afterwards the net is as it was, but for its weights."""
    if world.size == 1:
        yield net
        return
    norms = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)]
    for name, norm in norms:
        _put(net, name, WholeBatchNorm(norm))
    try:
        yield nn.parallel.DistributedDataParallel(net, forward_sync_buffers=False)  # they are the same everywhere
    finally:
        for name, norm in norms:
            _put(net, name, norm)


def _put(net: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, module)


class WholeBatchNorm(nn.BatchNorm2d):
    """A batch norm over the images of all processes, with the parameters and running statistics of another."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, device="meta")
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] of this process, normalised by the mean and the variance over all processes."""
        if not self.training:
            return super().forward(x)
        mean, variance, count = _statistics(x.to(self.weight.dtype))
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum or 0)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum or 0)
        normalised: Tensor = _Normalise.apply(x, mean, (variance + self.eps).rsqrt(), count)  # type: ignore[no-untyped-call]
        return normalised * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


@torch.no_grad()
def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance [c] over all processes, each with its own number of values, and that number: [1]."""
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    own = torch.cat([mean, variance, mean.new_full((1,), x.numel() / x.shape[1])]).double()
    every = own.new_empty(distributed.get_world_size() * len(own))
    distributed.all_gather_single(every, own)
    means, variances, counts = torch.split(every.view(-1, len(own)), [len(mean), len(mean), 1], dim=1)
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    variance = (counts * (variances + (means - mean).square())).sum(0) / count
    return mean.to(x.dtype), variance.to(x.dtype), count.to(x.dtype)


class _Normalise(torch.autograd.Function):
    """(x - mean) / std, where mean and std depend on the x of all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, inverse_std: Tensor, count: Tensor) -> Tensor:
        """[n, c, h, w], [c], [c] and how many values a channel has over all processes."""
        normalised = (x - mean.view(1, -1, 1, 1)) * inverse_std.view(1, -1, 1, 1)
        ctx.save_for_backward(normalised, inverse_std, count)
        return normalised

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Ioffe & Szegedy 2015 (arXiv 1502.03167), §3, with the sums over all processes."""
        normalised, inverse_std, count = ctx.saved_tensors
        sums = torch.stack([gradient.sum((0, 2, 3)), (gradient * normalised).sum((0, 2, 3))])
        distributed.all_reduce(sums)
        first, second = (sums / count).view(2, 1, -1, 1, 1)
        return inverse_std.view(1, -1, 1, 1) * (gradient - first - normalised * second), None, None, None
