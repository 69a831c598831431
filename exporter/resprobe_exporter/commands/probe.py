"""`exporter probe`."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from resprobe_exporter.commands.options import ImportCommand, readout_images
from resprobe_exporter.commands.precision import SecondModel


@dataclass(frozen=True)
class Probe(ImportCommand):
    """Import an ONNX model and add block statistics.

    Every addition F(x) + s(x) in the graph becomes a block: of convolutional nets, transformers and MLPs. Sums of two
    parts that are both linear in x, such as parallel convolutions, are not blocks. The written graphs are compared with
    the file. With --preprocess or --mean and --std the graph takes pixels, as the server's own protocol and the client
    need it. Without them it keeps its input and outputs, and is served over the Open Inference Protocol.

    Examples:
      exporter probe resnet50.onnx --preprocess imagenet
      exporter probe resnet50.onnx --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225 --classes labels.txt
      exporter probe net.onnx --name net
      exporter probe vit.onnx --mean 0.5 0.5 0.5 --std 0.5 0.5 0.5 --blocks attention
      exporter probe net.onnx --size 224 224 --output scores --mean 0.5 --std 0.5
    """

    file: tyro.conf.Positional[Path]
    """ONNX file with one input: images as [n, c, h, w] or [n, h, w, c], tokens or vectors."""
    size: tuple[int, int] | None = None
    """Height and width of the images in pixels, for a file that leaves them open."""
    output: str | None = None
    """Name of the output with a score for each class, for a file with several outputs. Default: all outputs."""
    blocks: str | None = None
    """Blocks by hand: a regular expression to search for in the names of blocks and of the tensors that additions
    return, or a file with such names, one on each line. Default: every F(x) + s(x) is a block."""
    family: str = "onnx"
    """Kind of net, as the description names it."""
    name: str | None = None
    """Name of the model. Default: name of the file without its suffix."""

    def run(self) -> None:
        """Reads, checks and writes."""
        from resprobe_exporter.importing import onnx_source
        from resprobe_exporter.importing.chosen_blocks import Choice
        from resprobe_exporter.versions import import_onnx, repository

        begin = time.perf_counter()
        preprocessing = self.preprocessing()
        choice = None if self.blocks is None else Choice.parse(self.blocks)
        second = SecondModel(self.precision, self.dataset, self.data)
        second.check()
        name = self.name or self.file.stem
        repository.check_writable(self.repository, name)
        file = onnx_source.read(self.file, self.size, self.output, scores=preprocessing is not None)
        load = None if self.dataset is None else self.test_set
        quantised = self.precision is not None
        readouts = None if self.readouts is None else partial(readout_images, self.readouts, self.data)
        options = import_onnx.OnnxOptions(preprocessing, self.labels(), self.family, choice, quantised, readouts)
        version = import_onnx.import_onnx(file, options, load, self.repository, name)
        second.finish(version, begin, self.repository, self.json)
