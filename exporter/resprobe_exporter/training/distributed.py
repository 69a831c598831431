"""Training in several processes that torchrun started: the same steps as one process, up to the order of summation.

Each process computes its share of every batch. DistributedDataParallel averages the gradients. A batch norm must see
the whole batch, as it does in one process; torch's SyncBatchNorm refuses tensors on the CPU, so `WholeBatchNorm` here
serves both devices.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class World:
    """Processes that train together, as one of them sees it.

    Attributes:
        rank: Number of this process, from 0. Process 0 writes, logs and exports.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    def share(self, n: int) -> slice:
        """Returns the places of this process's images among the n of a batch."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def add_up(self, values: Tensor) -> Tensor:
        """Adds up the values of all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values


ALONE = World()


@contextmanager
def join(device: torch.device) -> Iterator[World]:
    """Joins the other processes that torchrun started, by its environment variables; without torchrun there are none.

    If the body raises, torchrun ends the other processes.
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
    """Yields the module to call in training instead of the net. Afterwards only the net's weights have changed."""
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

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        """Creates a batch norm that shares the tensors of `norm`, which must have running statistics."""
        super().__init__(norm.num_features, norm.eps, norm.momentum, device="meta")
        if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
            raise ValueError("a batch norm has no running statistics; expected track_running_stats=True")
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked

    def forward(self, x: Tensor) -> Tensor:
        """Normalises this process's [n, c, h, w] by the mean and the variance over all processes."""
        if not self.training:
            return super().forward(x)
        mean, variance, count = _statistics(x.to(self.weight.dtype))
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum or 0)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum or 0)
        normalised: Tensor = _Normalise.apply(x, mean, (variance + self.eps).rsqrt(), count)  # type: ignore[no-untyped-call]
        return normalised * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


@torch.no_grad()
def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns mean [c], variance [c] and number of values of a channel [1], over all processes."""
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
    """(x - mean) / std, with gradients through a mean and a std that depend on the x of all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, inverse_std: Tensor, count: Tensor) -> Tensor:
        """Normalises x [n, c, h, w] by mean [c] and inverse_std [c]; count [1] is the values of a channel."""
        normalised = (x - mean.view(1, -1, 1, 1)) * inverse_std.view(1, -1, 1, 1)
        ctx.save_for_backward(normalised, inverse_std, count)
        return normalised

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Returns the gradient of Ioffe & Szegedy 2015 (arXiv 1502.03167), §3, with the sums over all processes."""
        normalised, inverse_std, count = ctx.saved_tensors
        sums = torch.stack([gradient.sum((0, 2, 3)), (gradient * normalised).sum((0, 2, 3))])
        distributed.all_reduce(sums)
        first, second = (sums / count).view(2, 1, -1, 1, 1)
        return inverse_std.view(1, -1, 1, 1) * (gradient - first - normalised * second), None, None, None
