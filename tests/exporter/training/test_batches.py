"""Batches: whole images, shifted and mirrored, each once an epoch, shared between processes without a gap."""

from dataclasses import replace

import pytest
import torch
from resprobe_exporter.training import augment, data
from resprobe_exporter.training.batches import Batches
from resprobe_exporter.training.distributed import World
from resprobe_exporter.training.recipes import PAPER, Recipe


def crop(image: torch.Tensor, count: int, mirrored: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    crops = augment.draw(count, image.shape[2], image.shape[3], 1, mirrored, generator)
    return crops(image.expand(count, -1, -1, -1))


def test_augmentation_shifts_and_mirrors_whole_images() -> None:
    image = torch.zeros(1, 2, 5, 5, dtype=torch.uint8)
    image[0, 0, 2, 1], image[0, 1, 2, 2] = 200, 100
    found = set()
    for one in crop(image, 400, True):
        (row, column), (other_row, other_column) = (tuple((one[c] > 0).nonzero()[0].tolist()) for c in (0, 1))
        assert (one[0].max(), one[1].max()) == (200, 100)
        assert row == other_row  # all channels move together
        found.add((row, column, other_column - column))
    shifted = {(row, column, 1) for row in (1, 2, 3) for column in (0, 1, 2)}
    mirrored = {(row, column, -1) for row in (1, 2, 3) for column in (2, 3, 4)}
    assert found == shifted | mirrored


def test_without_mirroring_left_stays_left() -> None:
    for one in crop(torch.arange(25, dtype=torch.uint8).reshape(1, 1, 5, 5), 50, False):
        assert (one[0, 1:4, 1:4].int().diff(dim=1) == 1).all()


def test_an_epoch_shows_every_image_once(digits: data.Data) -> None:
    numbered = replace(digits, train=data.Part(digits.train.images, torch.arange(1437)))
    batches = Batches(numbered, Recipe(batch_size=64), 0)
    first, second = (torch.cat([next(batches)[1] for _ in range(22)]).tolist() for _ in range(2))
    assert len(set(first)) == len(set(second)) == 22 * 64
    assert first != second


@pytest.mark.parametrize("recipe", [Recipe(batch_size=50), replace(PAPER, batch_size=50)], ids=lambda r: r.name)
@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_a_batch(digits: data.Data, recipe: Recipe, size: int) -> None:
    whole = Batches(digits, recipe, 5)
    shares = [Batches(digits, recipe, 5, World(rank, size)) for rank in range(size)]
    for _ in range(30):  # into the second epoch
        images, labels = next(whole)
        parts = [next(share) for share in shares]
        assert torch.equal(torch.cat([part[0] for part in parts]), images)
        assert torch.equal(torch.cat([part[1] for part in parts]), labels)


@pytest.mark.parametrize(("padded_with", "expected"), [("black", -0.5), ("mean", 0.0)])
def test_crops_are_padded_with_black_or_the_mean(padded_with: str, expected: float) -> None:
    grey = data.Part(torch.full((40, 1, 8, 8), 255, dtype=torch.uint8), torch.zeros(40, dtype=torch.int64))
    loaded = data.Data("grey", grey, grey, ("a", "b"), (0.5,), (1.0,), False)
    images, _ = next(Batches(loaded, Recipe(batch_size=40, padded_with=padded_with), 0))  # type: ignore[arg-type]
    assert set(images.flatten().tolist()) == {0.5, expected}
