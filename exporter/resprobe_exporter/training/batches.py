"""Batches of training images in random order, epoch after epoch, augmented and normalised; resumable."""

from typing import Any

import torch
from torch import Tensor

from resprobe_exporter.training import augment
from resprobe_exporter.training.data import Data, normalise
from resprobe_exporter.training.distributed import ALONE, World
from resprobe_exporter.training.recipes import Recipe


class Batches:
    """An endless iterator over batches: float32 [n, c, h, w] and labels int64 [n].

    Images at the end of an epoch that do not fill a batch are left out. All processes draw the same random numbers for
    the whole batch, and each yields its own share of it.

    Attributes:
        size: Images in a batch, over all processes.
    """

    def __init__(self, data: Data, recipe: Recipe, seed: int, world: World = ALONE) -> None:
        """Creates an iterator before the first batch.

        Args:
            data: Images and labels, on the device to train on.
            recipe: Training recipe: batch size and padding.
            seed: Seed of the order and of the augmentation.
            world: Processes that share the batches, and this one's rank.
        """
        self._data, self._recipe, self._world = data, recipe, world
        self.size = min(recipe.batch_size, len(data.train))
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.int64)
        self._position = 0

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        if self._position + self.size > len(self._order):
            self._order = torch.randperm(len(self._data.train), generator=self._generator)
            self._position = 0
        rows = self._order[self._position : self._position + self.size]
        self._position += self.size
        _, height, width = self._data.shape
        padding = max(1, round(self._recipe.padding * height))
        crops = augment.draw(self.size, height, width, padding, self._data.mirrored, self._generator)
        share = self._world.share(self.size)
        return self._make(rows[share], crops[share])

    def _make(self, rows: Tensor, crops: augment.Crops) -> tuple[Tensor, Tensor]:
        part = self._data.train
        rows = rows.to(part.labels.device)
        images = part.images[rows]
        if self._recipe.padded_with == "black":
            images = normalise(crops(images), self._data)
        else:
            images = crops(normalise(images, self._data))
        return images.contiguous(memory_format=torch.channels_last), part.labels[rows]

    def state_dict(self) -> dict[str, Any]:
        """Returns the order of this epoch, the position in it, and the state of the random generator."""
        return {"order": self._order, "position": self._position, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes from what `state_dict` returned."""
        self._order, self._position = state["order"], state["position"]
        self._generator.set_state(state["generator"])
