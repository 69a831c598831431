"""`resprobe compare`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from resprobe import _files
from resprobe.analysis.collect import sweep
from resprobe.analysis.compare import Comparison, compare
from resprobe.analysis.dataset_result import Frame
from resprobe.cli import tables
from resprobe.cli.options import Connected, console
from resprobe.cli.source import Source


@dataclass(frozen=True, kw_only=True)
class Compare(Source, Connected):
    """Compare two models, or two versions of one, on the same images: classes, accuracy, and ratio by depth.

    Intervals are 95 % bootstrap intervals over the images. If one model was quantised from the other, the noise of each
    block is shown too. Needs --dataset.

    Examples:
      resprobe compare resnet20 resnet56 --dataset cifar10 --data ~/cifar --limit 1000
      resprobe compare resnet20/1 resnet20/2 --dataset digits --plot versions.svg --json
      resprobe compare resnet56 resnet56-int8 --dataset cifar10 --data ~/cifar --out int8.html
    """

    a: tyro.conf.Positional[str]
    """First model, NAME or NAME/VERSION."""
    b: tyro.conf.Positional[str]
    """Second model, NAME or NAME/VERSION."""
    plot: Path | None = None
    """File to draw both ratios against relative depth to, and their difference, .svg or .png."""
    out: Path | None = None
    """HTML file to write, with tables and figures."""

    def run(self) -> None:
        """Asks both models, compares, draws and prints."""
        self._check()
        dataset = self.load()
        with self.client() as client:
            models = [client.model(name) for name in (self.a, self.b)]
            frames = [sweep(client, dataset, model, progress=True, resize=self.resize) for model in models]
        compared = compare(*frames)
        try:
            self._write(compared)
        finally:  # what was found is shown, even if it cannot be written
            if self.json:
                self.show(_json(compared))
            else:
                _print(compared)

    def _write(self, compared: Comparison) -> None:
        if self.plot is not None:
            from resprobe import plots

            plots.save(plots.plot_comparison(compared), self.plot)
        if self.out is not None:
            from resprobe.report import page, pages

            page.write(self.out, pages.comparison_page(compared))

    def _check(self) -> None:
        _files.check(self.out)
        if self.plot is not None:
            from resprobe import plots

            plots.check_path(self.plot)


def _print(compared: Comparison) -> None:
    a, b = compared.a.model, compared.b.model
    interval = f"{compared.confidence:.0%} interval"
    grid = tables.grid("depth", "block", f"ratio A\n{a.name}", f"ratio B\n{b.name}", "B − A", interval, left=2)
    for name, depth, ratio_a, ratio_b, difference, low, high in compared.rows():
        grid.add_row(
            f"{depth:.3f}",
            name,
            f"{ratio_a:.4f}",
            f"{ratio_b:.4f}",
            f"{difference:+.4f}",
            f"{low:+.4f} to {high:+.4f}",
        )
    console.print(grid)
    console.print()
    if compared.noise is not None:
        console.print(tables.noise_table(compared.noise))
        console.print()
    for line in compared.sentences():
        console.print(line, markup=False)


def _json(compared: Comparison) -> dict[str, Any]:
    a, b, accuracy = compared.a, compared.b, compared.accuracy
    keys = ("block", "depth", "ratio_a", "ratio_b", "difference", "low", "high")
    return {
        "models": [_model(one) for one in (a, b)],
        "dataset": a.dataset,
        "images": len(a),
        "notes": compared.notes,
        "ratio_images": compared.images,
        "confidence": compared.confidence,
        "agreement": compared.agreement,
        "outcomes": compared.outcomes,
        "accuracy_difference": None
        if accuracy is None
        else {"value": float(accuracy.value), "low": float(accuracy.low), "high": float(accuracy.high)},
        "blocks": [dict(zip(keys, row, strict=True)) for row in compared.rows()],
        "noise": tables.noise_json(compared.noise),
    }


def _model(frame: Frame) -> dict[str, Any]:
    model = frame.model
    return {
        "name": model.name,
        "version": model.version,
        "precision": model.precision,
        "accuracy": frame.accuracy,
    }
