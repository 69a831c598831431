"""`resprobe compare`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from resprobe import _files
from resprobe.analysis.collect import find
from resprobe.analysis.compare import Comparison, compare
from resprobe.cli import tables
from resprobe.cli.options import Connected, console
from resprobe.cli.source import Source, ask


@dataclass(frozen=True, kw_only=True)
class Compare(Source, Connected):
    """Compare two models, or two versions of one, on the same images: classes, accuracy, and ratio by depth.

    Intervals are 95 % bootstrap intervals over the images.

    Examples:
      resprobe compare resnet20 resnet56 --dataset cifar10 --data ~/cifar --limit 1000
      resprobe compare resnet20/1 resnet20/2 --dataset digits --plot versions.svg --json
    """

    a: tyro.conf.Positional[str]
    """First model: NAME or NAME/VERSION."""
    b: tyro.conf.Positional[str]
    """Second model."""
    plot: Path | None = None
    """Draw both ratios against relative depth, and their difference, to this file, .svg or .png."""
    out: Path | None = None
    """Write a page to this HTML file."""

    def run(self) -> None:
        """Asks both, compares, draws and prints."""
        self._check()
        dataset = self.load()
        with self.client() as client:
            models = [find(client, name) for name in (self.a, self.b)]
            compared = compare(*(ask(client, dataset, model, self.resize) for model in models))
        try:
            self._write(compared)
        finally:  # what was found is shown, even if it cannot be written
            if self.json:
                self.show(_json(compared))
            else:
                _print(compared)

    def _write(self, compared: Comparison) -> None:
        if self.plot is not None:
            from resprobe.plots import figures, ratios

            ratios.save(figures.comparison(compared), self.plot)
        if self.out is not None:
            from resprobe.report import page, pages

            page.write(self.out, pages.comparison_page(compared))

    def _check(self) -> None:
        _files.check(self.out)
        if self.plot is not None:
            from resprobe.plots import ratios

            ratios.check_path(self.plot)


def _print(compared: Comparison) -> None:
    a, b = compared.a, compared.b
    grid = tables.grid(
        "depth", "block", f"ratio A\n{a.model.name}", f"ratio B\n{b.model.name}", "B − A", "95 % interval", left=2
    )
    for place, (name, depth) in enumerate(zip(compared.names, compared.depth, strict=True)):
        ratio = compared.ratio
        grid.add_row(
            f"{depth:.3f}",
            name,
            f"{compared.ratio_a[place]:.4f}",
            f"{compared.ratio_b[place]:.4f}",
            f"{ratio.value[place]:+.4f}",
            f"{ratio.low[place]:+.4f} … {ratio.high[place]:+.4f}",
        )
    console.print(grid)
    console.print()
    for line in compared.sentences():
        console.print(line)


def _json(compared: Comparison) -> dict[str, Any]:
    a, b, accuracy = compared.a, compared.b, compared.accuracy
    keys = ("block", "depth", "ratio_a", "ratio_b", "difference", "low", "high")
    return {
        "models": [{"name": one.model.name, "version": one.model.version, "accuracy": one.accuracy} for one in (a, b)],
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
    }
