"""`exporter inspect`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from resprobe import datasets
from resprobe_protos.contract import LEAN

from resprobe_exporter.commands.options import console

if TYPE_CHECKING:
    from resprobe_exporter.versions.metadata import Model


@dataclass(frozen=True)
class Inspect:
    """Show the blocks of a version.

    With --dataset, standard deviation and ratio of each block are measured on its images, and shown beside the closed
    form and the baseline.

    Examples:
      exporter inspect models/resnet20
      exporter inspect models/resnet20/1 --dataset cifar10 --data ~/cifar --limit 1000
    """

    directory: tyro.conf.Positional[Path]
    """Directory of the version, models/NAME/VERSION, or of the model, models/NAME, for its newest version."""
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
        from resprobe_exporter.exits import table
        from resprobe_exporter.versions import evaluation, metadata, repository, test_set

        directory = repository.newest_in(self.directory)
        model = metadata.read(directory)
        measured = None
        if self.dataset is not None:
            shape = model.image.height, model.image.width, model.image.channels
            cut = metadata.preprocessing(model).resize_and_crop(*shape[:2])
            images = test_set.load(self.dataset, self.data, shape, self.limit, cut)
            measured = evaluation.measure_version(directory, model, images)
        blocks = block_table.rows(model, measured)
        count = _multiply_adds(directory, model)
        if self.json:
            print(json.dumps(block_table.as_json(model, blocks, measured, count)))
        else:
            console.print(block_table.summary(model, measured, count), markup=False)
            if blocks:
                console.print(block_table.block_table(blocks, measured))
            if model.HasField("exits"):
                console.print("\n".join(["", *table.lines(model)]), markup=False)
                console.print(table.exit_table(model))


def _multiply_adds(directory: Path, model: "Model") -> int | None:
    """Counts the multiply-adds of the lean graph for one image. If None, they are not known."""
    import onnx_ir as ir
    from onnx_ir.passes.common import ShapeInferencePass

    from resprobe_exporter.graph.multiply_adds import multiply_adds
    from resprobe_exporter.versions import metadata

    selecting = [block.shortcut_tensor for block in model.blocks if block.shortcut == metadata.KINDS["pad"]]
    path = directory / LEAN
    if not path.is_file():
        return None
    graph = ir.load(path)
    found = multiply_adds(graph.graph, selecting)
    if found is None:  # as of a quantised graph, whose shapes are not known yet
        ShapeInferencePass(check_type=False, strict_mode=False)(graph)
        found = multiply_adds(graph.graph, selecting)
    return found
