"""`exporter inspect`."""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro
from resprobe import datasets

from resprobe_exporter.commands.options import console


@dataclass(frozen=True)
class Inspect:
    """Show the blocks of a version.

    With --dataset, standard deviation and ratio of each block are measured on its images, and shown beside the closed
    form and the baseline.

    Examples:
      exporter inspect models/resnet20/1
      exporter inspect models/resnet20/1 --dataset cifar10 --data ~/cifar --limit 1000
    """

    directory: tyro.conf.Positional[Path]
    """Directory of the version: models/NAME/VERSION."""
    dataset: datasets.Name | None = None
    """Data set whose test images are measured on. Default: nothing is measured."""
    data: Path | None = None
    """Directory of the data set's files. Not used for digits."""
    limit: int | None = None
    """Maximum number of images to measure on. Default: all."""
    json: bool = False
    """Print the result as JSON."""

    def run(self) -> None:
        """Reads, measures with --dataset, and prints."""
        from resprobe_exporter.commands import block_table
        from resprobe_exporter.versions import evaluation, metadata, test_set

        model = metadata.read(self.directory)
        measured = None
        if self.dataset is not None:
            shape = model.image.height, model.image.width, model.image.channels
            cut = metadata.preprocessing(model).resize_and_crop(*shape[:2])
            images = test_set.load(self.dataset, self.data, shape, self.limit, cut)
            measured = evaluation.measure_version(self.directory, model, images)
        blocks = block_table.rows(model, measured)
        if self.json:
            print(json.dumps(block_table.as_json(model, blocks, measured)))
        else:
            console.print(block_table.summary(model, measured), markup=False)
            if blocks:
                console.print(block_table.block_table(blocks, measured))
