"""Random crops and mirror images of a whole batch at once, on the batch's device."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Crops:
    """Positions of the rows and columns of n crops in the padded images.

    Attributes:
        rows: Row positions, int64 [n, height].
        columns: Column positions, int64 [n, width]; they descend where the image is mirrored.
        padding: Pixels of padding on each side.
    """

    rows: Tensor
    columns: Tensor
    padding: int

    def __getitem__(self, some: slice) -> "Crops":
        return Crops(self.rows[some], self.columns[some], self.padding)

    def __call__(self, images: Tensor) -> Tensor:
        """Pads images [n, c, h, w] of any dtype with zeros, and crops them."""
        row, column = self.rows[:, :, None].to(images.device), self.columns[:, None, :].to(images.device)
        image = torch.arange(len(images), device=images.device)[:, None, None]
        padded = functional.pad(images, (self.padding,) * 4)
        return padded[image, :, row, column].permute(0, 3, 1, 2)


def draw(n: int, height: int, width: int, padding: int, mirrored: bool, generator: torch.Generator) -> Crops:
    """Draws n random crops.

    Args:
        n: Number of crops.
        height: Rows of a crop.
        width: Columns of a crop.
        padding: Pixels of padding on each side of the images.
        mirrored: Whether each crop is mirrored with probability 1/2.
        generator: Random generator, on the CPU.
    """
    top, left = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    if mirrored:
        flip = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(flip, columns.flip(1), columns)
    return Crops(rows, columns, padding)
