"""`exporter inspect`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from resprobe_exporter.commands.common import console


@dataclass(frozen=True)
class Inspect:
    """Show the blocks of a version.

    With --dataset, the standard deviation and the ratio that its images give stand beside the closed form and the
    baseline.

    Examples:
      exporter inspect models/resnet20/1
      exporter inspect models/resnet20/1 --dataset cifar10 --data ~/cifar --limit 1000
    """

    directory: tyro.conf.Positional[Path]
    """Directory of the version: models/NAME/VERSION."""
    dataset: Literal["digits", "cifar10", "cifar100", "folder"] | None = None
    """Measure on this data set's test images."""
    data: Path | None = None
    """Directory of the data set's files."""
    limit: int | None = None
    """Maximum images to measure on."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Reads, measures if asked to, and prints."""
        from resprobe_exporter.versions import build, inspection, metadata

        model = metadata.read(self.directory)
        measured = None
        if self.dataset is not None:
            shape = model.image.height, model.image.width, model.image.channels
            test_set = build.load_test_set(self.dataset, self.data, shape, self.limit)
            measured = inspection.measure_version(self.directory, model, test_set)
        blocks = inspection.rows(model, measured)
        if self.json:
            print(json.dumps(inspection.as_json(model, blocks, measured)))
        else:
            console.print(inspection.summary(model, measured), markup=False)
            if blocks:
                console.print(inspection.table(blocks, measured))
