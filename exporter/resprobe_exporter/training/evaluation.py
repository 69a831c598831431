"""How well a net does on labelled images."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from resprobe_exporter.training.data import Data, Part, normalise


@dataclass(frozen=True)
class Score:
    """Score of a net on test images: mean cross-entropy in nats, and the share that is classified as labelled."""

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(net: nn.Module, part: Part, data: Data, batch_size: int = 256) -> Score:
    """Loss and accuracy in evaluation mode, on images as they are; the net is left in that mode."""
    net.eval()
    sums = torch.zeros(2, dtype=torch.float64, device=part.labels.device)
    for images, labels in zip(torch.split(part.images, batch_size), torch.split(part.labels, batch_size), strict=True):
        sums += tally(net(normalise(images, data)), labels)
    loss, correct = (sums / len(part)).tolist()
    return Score(loss, correct)


def tally(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats and number of right answers, summed over a batch: float64 [2], without waiting for them."""
    loss = functional.cross_entropy(logits.detach().double(), labels, reduction="sum")
    return torch.stack([loss, (logits.argmax(1) == labels).sum().double()])
