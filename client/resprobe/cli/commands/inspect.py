"""`resprobe inspect`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tyro

from resprobe import _files, datasets
from resprobe._results.inspection import View
from resprobe._results.model import Model
from resprobe._results.result import ProbedResult
from resprobe.cli import tables
from resprobe.cli.options import Selection, console
from resprobe.errors import DatasetError, InvalidImage, StatisticsUnavailable

VIEWS: tuple[View, ...] = ("maps", "readouts", "cam")
SUFFIXES = (".html", ".png")


@dataclass(frozen=True, kw_only=True)
class Inspect(Selection):
    """Look into one image: where each block works, after which block the net decides, and what speaks for its answer.

    Writes one page that fetches nothing, or a picture. Readouts before the last stage need a version that was written
    with --readouts; class activation maps a net that ends in a mean over positions and a linear layer.

    Examples:
      resprobe inspect cat.jpg
      resprobe inspect cat.jpg --model resnet56 --out cat.png
    """

    image: tyro.conf.Positional[Path]
    """Picture file to look into."""
    out: Path = Path("inspect.html")
    """File to write, .html or .png."""
    top_k: int = 5
    """Number of classes to show."""

    def run(self) -> None:
        """Asks the server, draws and prints."""
        _files.check(self.out, SUFFIXES, "an inspection")
        from resprobe import plots  # so that a missing package is named before the server is asked

        with self.client() as client:
            model = client.model(self.model, self.version)
            if not model.blocks or "maps" not in model.views:
                raise StatisticsUnavailable(
                    f"model {model.name} cannot be inspected: it is served without inspect.onnx"
                )
            views = [view for view in VIEWS if view in model.views]
            result = client.classify(
                [self.image], model=model.name, version=model.version, blocks=True, views=views, top_k=self.top_k
            )
        pixels = _pixels(self.image, model)
        if self.out.suffix.lower() == ".html":
            from resprobe.report import inspection, page

            page.write(self.out, inspection.inspection_page(result, model, pixels, self.image.name))
        else:
            plots.save(plots.plot_inspection(pixels, result, model, self.image.name), self.out)
        self._print(result, model)

    def _print(self, result: ProbedResult, model: Model) -> None:
        depth = None if result.prediction_depth is None else model.blocks[int(result.prediction_depth[0])].name
        if self.json:
            answer = tables.blocks_json([str(self.image)], result, result.blocks, model.classes)
            self.show({**answer, "prediction_depth": depth, "influence": tables.finite(result.blocks.influence[0])})
            return
        console.print(tables.classes_table([str(self.image)], result, model.classes))
        if depth is not None:
            console.print(f"\nfrom {depth} on, every readout gives the final answer", markup=False)
        console.print(f"{self.out}: {model.name} version {model.version}", markup=False)


def _pixels(path: Path, model: Model) -> npt.NDArray[np.uint8]:
    """Reads a picture as the model takes it, with the preprocessing that it declares."""
    try:
        return datasets.read_fitted(path, model.height, model.width, model.channels, model.preprocessing).pixels
    except DatasetError as error:  # the server has read it
        raise InvalidImage(str(error)) from error
