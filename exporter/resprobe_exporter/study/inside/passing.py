"""Passes of images through a net: what each block computes of each image, and the scores without each block."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from resprobe._results.inspection import influence
from torch import Tensor, nn

from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.training.data import Data, Part, normalise

BATCH = 128
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Passed:
    """What a net of L blocks computes of n images.

    Attributes:
        features: Means over positions of the first block's input and of each block's output, float64 [n, channels]
            each: L + 1 arrays.
        own: Scores of the net's own head after each block of the last stage, float64 [n, blocks, classes]. The last
            are the logits.
        ratio: ‖F‖ / ‖s‖, float64 [n, L]; inf or nan where the shortcut is zero.
        cosine: Cosine of F and s, float64 [n, L]; nan where either is zero.
        influence: 1 − cos(s, s + F), float64 [n, L]; nan where s or s + F is zero.
    """

    features: Sequence[Floats]
    own: Floats
    ratio: Floats
    cosine: Floats
    influence: Floats


@torch.no_grad()
def observe(net: ResNet, part: Part, data: Data) -> Passed:
    """Passes images through a net in evaluation mode; its blocks keep being hooked only while it runs."""
    net.eval()
    blocks, count = net.blocks, len(part)
    names = [block.name for block in blocks]
    last = [place for place, block in enumerate(blocks) if block.stage == blocks[-1].stage]
    # filled in place: small results left between large tensors would break freed memory to pieces
    features = [np.empty((count, channels)) for channels in (blocks[0].channels, *(one.channels for one in blocks))]
    own, sums = np.empty((count, len(last), net.architecture.classes)), np.empty((count, len(names), 3))
    for rows in _batches(count):
        with _values(net, names) as (inputs, outputs, operands):
            net(normalise(part.images[rows], data))
        for found, one in zip(features, (inputs[0], *outputs), strict=True):
            found[rows] = one.mean((2, 3), dtype=torch.float64).cpu().numpy()
        for place, block in enumerate(last):
            own[rows, place] = net.classify(outputs[block]).cpu().numpy()
        for place, pair in enumerate(operands):
            sums[rows, place] = _sums(*pair).cpu().numpy()
    branch, shortcut, dot = sums.transpose(2, 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, cosine = branch / shortcut, np.clip(dot / (branch * shortcut), -1, 1)
    return Passed(features, own, ratio, cosine, influence(branch, shortcut, cosine))


@torch.no_grad()
def scores_without(net: ResNet, part: Part, data: Data) -> Floats:
    """Returns the scores of a net in evaluation mode without each of its L blocks, float64 [n, L, classes].

    What comes before a removed block is computed once for all of them.
    """
    net.eval()
    names = [block.name for block in net.blocks]
    blocks = [net.get_submodule(name) for name in names]
    scores = np.empty((len(part), len(names), net.architecture.classes))
    for rows in _batches(len(part)):
        with _values(net, names) as (inputs, _, _):
            net(normalise(part.images[rows], data))
        for place, name in enumerate(names):
            with without(net, name):
                x = blocks[place](inputs[place])
            for block in blocks[place + 1 :]:
                x = block(x)
            scores[rows, place] = net.classify(x).cpu().numpy()
    return scores


def _batches(count: int) -> Iterator[slice]:
    return (slice(begin, min(begin + BATCH, count)) for begin in range(0, count, BATCH))


@contextmanager
def without(net: ResNet, block: str) -> Iterator[None]:
    """A context in which the branch of a residual block adds nothing to the shortcut (Veit et al. 2016)."""

    def drop(_module: nn.Module, operands: tuple[Tensor, Tensor], _total: Tensor) -> Tensor:
        return operands[1]

    hook = net.get_submodule(f"{block}.add").register_forward_hook(drop)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _values(
    net: ResNet, names: Sequence[str]
) -> Iterator[tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]]:
    """A context that lists the input and the output of each block, and the operands of its addition."""
    inputs, outputs, operands = list[Tensor](), list[Tensor](), list[tuple[Tensor, Tensor]]()

    def keep(_module: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
        inputs.append(given[0])
        outputs.append(output)

    def keep_operands(_module: nn.Module, given: tuple[Tensor, Tensor], _total: Tensor) -> None:
        operands.append(given)

    with ExitStack() as hooks:
        for name in names:
            hooks.callback(net.get_submodule(name).register_forward_hook(keep).remove)
            hooks.callback(net.get_submodule(f"{name}.add").register_forward_hook(keep_operands).remove)
        yield inputs, outputs, operands


def _sums(branch: Tensor, shortcut: Tensor) -> Tensor:
    """Returns ‖F‖, ‖s‖ and ⟨F, s⟩ of each image, float64 [n, 3]."""
    f, s = branch.flatten(1).double(), shortcut.flatten(1).double()
    return torch.stack([f.norm(dim=1), s.norm(dim=1), (f * s).sum(1)], 1)
