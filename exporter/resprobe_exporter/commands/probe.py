"""`exporter probe`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from resprobe_exporter.commands.common import Taken, print_built


@dataclass(frozen=True)
class Probe(Taken):
    """Import an ONNX model as a new version, and add the statistics of its residual blocks.

    Every addition F(x) + s(x) that is found in the graph becomes a block, and what is written is compared with the
    file. With --mean and --std the graph takes pixels, as the server's own calls and the client do. Without, it takes
    and returns what it did, and is served over the Open Inference Protocol.

    Examples:
      exporter probe resnet50.onnx --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225 --classes imagenet.txt
      exporter probe net.onnx --name net
      exporter probe net.onnx --size 224 224 --output scores --mean 0.5 --std 0.5
    """

    file: tyro.conf.Positional[Path]
    """ONNX file. It takes one tensor, images as [n, c, h, w] or [n, h, w, c]."""
    mean: tuple[float, ...] = ()
    """Mean of each channel that the net was trained with, for pixels in [0, 1]. 0 where it takes pixels as they are."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel. 1 where it takes [0, 1], 0.00392157 where it takes [0, 255]."""
    size: tuple[int, int] | None = None
    """Height and width of the images, where the file leaves them open."""
    output: str | None = None
    """The output with a score for each class, where the file has several."""
    family: str = "onnx"
    """What to call the kind of net."""
    name: str | None = None
    """Name of the model. Default: that of the file."""

    def run(self) -> None:
        """Reads, writes and checks."""
        from resprobe_exporter.errors import ExporterError
        from resprobe_exporter.importing import onnx_source
        from resprobe_exporter.versions import import_onnx, repository
        from resprobe_exporter.versions.writer import Preprocessing

        if bool(self.mean) != bool(self.std):
            raise ExporterError("--mean and --std go together")
        preprocessing = Preprocessing(self.mean, self.std) if self.mean else None
        if preprocessing is not None:
            preprocessing.check_values()  # what can be said before the file is read
        name = self.name or self.file.stem
        repository.check_writable(self.repository, name)
        file = onnx_source.read(self.file, self.size, self.output, scores=preprocessing is not None)
        load = None if self.dataset is None else self.test_set
        options = import_onnx.Options(preprocessing, self.labels(), self.family)
        print_built(import_onnx.adopt(file, options, load, self.repository, name), self.json)
