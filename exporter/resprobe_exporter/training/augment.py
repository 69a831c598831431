"""Random crops and mirroring of a whole batch at once, on its device."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Crops:
    """Where each crop's rows and columns lie in the padded image.

    Attributes:
        rows: int64 [n, height].
        columns: int64 [n, width]; falling where the image is mirrored.
        padding: On each side, in pixels.
    """

    rows: Tensor
    columns: Tensor
    padding: int

    def __getitem__(self, some: slice) -> "Crops":
        return Crops(self.rows[some], self.columns[some], self.padding)

    def __call__(self, images: Tensor) -> Tensor:
        """Pads [n, c, h, w] of any dtype with zeros and crops it."""
        row, column = self.rows[:, :, None].to(images.device), self.columns[:, None, :].to(images.device)
        image = torch.arange(len(images), device=images.device)[:, None, None]
        padded = functional.pad(images, (self.padding,) * 4)
        return padded[image, :, row, column].permute(0, 3, 1, 2)


def draw(n: int, height: int, width: int, padding: int, mirrored: bool, generator: torch.Generator) -> Crops:
    """Draws n crops of height × width, half of them mirrored if `mirrored`; the generator is on the CPU."""
    top, left = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    if mirrored:
        flip = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(flip, columns.flip(1), columns)
    return Crops(rows, columns, padding)
