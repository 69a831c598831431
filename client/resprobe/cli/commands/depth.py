"""`resprobe depth`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resprobe.analysis.collect import sweep
from resprobe.analysis.dataset_result import Frame
from resprobe.analysis.early_answers import EarlyAnswers
from resprobe.analysis.intervals import Difference
from resprobe.cli import tables
from resprobe.cli.options import Selection, console, print_notes
from resprobe.cli.source import Source
from resprobe.datasets import Name
from resprobe.errors import StatisticsUnavailable

PERCENT = ".1%"
ANSWERS = {"all": None, "right": True, "wrong": False}


@dataclass(frozen=True)
class Depth(Source, Selection):
    """Show when a net decides: the block from which on its answer stays, over a labelled data set.

    The prediction depth of an image (Baldock et al. 2021) is the first block from which all later readouts give the
    final answer. A readout gives scores as if the net ended after a block: by the net's own head in the last stage, and
    before it by linear heads, for versions that exporter build, convert or probe wrote with --readouts. Intervals are
    95 % bootstrap intervals over images.

    Depths lean to the last stage: the net's own head was trained to read the last block only, and reads the first
    blocks of its stage badly, often worse than the linear heads before them. An answer counts as decided only after
    the last readout that disagrees, so a bad readout moves it back. A note says by how much.

    Examples:
      resprobe depth --dataset digits
      resprobe depth --dataset cifar10 --data ~/cifar --limit 1000 --plot depth.svg
    """

    dataset: Name = field(kw_only=True)
    """Labelled images to send: the test images of digits, cifar10 or cifar100, or a folder with one directory of
    pictures for each class."""
    plot: Path | None = None
    """File to draw readout accuracy and prediction depth of every block to, .svg or .png."""

    def run(self) -> None:
        """Asks the server, draws and prints."""
        if self.plot is not None:
            from resprobe import plots

            plots.check_path(self.plot)
        dataset = self.load()
        with self.client() as client:
            model = client.model(self.model, self.version)
            frame = sweep(client, dataset, model, progress=True, resize=self.resize, readouts=True)
        if frame.early is None:
            raise StatisticsUnavailable(f"model {model.name} has no readouts")
        notes = [*frame.notes, *filter(None, [frame.early.caution()])]
        try:
            if self.plot is not None:
                from resprobe import plots

                source = f"{len(frame):,} images of {frame.dataset}"
                plots.save(plots.plot_depths(frame.early, model, source), self.plot)
        finally:  # what was found is shown, even if it cannot be drawn
            if self.json:
                self.show({**_json(frame, frame.early), "notes": notes})
            else:
                _print(frame, frame.early)
                print_notes(notes)


def _print(frame: Frame, early: EarlyAnswers) -> None:
    accuracy, everything, right, wrong = early.accuracy(), early.shares(), early.shares(True), early.shares(False)
    of_right, of_wrong = "of right\nanswers", "of wrong\nanswers"
    columns = "readout\naccuracy", "95 % interval", "decided\nhere", of_right, of_wrong
    grid = tables.grid("block", "head", *columns, left=2)
    for row, name in enumerate(early.names):
        grid.add_row(
            name,
            early.heads[row],
            f"{accuracy.value[row]:.4f}",
            f"{accuracy.low[row]:.4f} to {accuracy.high[row]:.4f}",
            *(format(one[row], PERCENT) for one in (everything, right, wrong)),
        )
    console.print(grid)
    model = frame.model
    console.print(f"\n{model.name} version {model.version} on {len(frame):,} images of {frame.dataset}", markup=False)
    for words, answers in ANSWERS.items():
        found = _text(early.mean_depth(answers), ".2f")
        console.print(f"mean prediction depth of {words} answers: block {found} of {len(model.blocks)}, from 0")
    console.print(f"right after some block and wrong at the end: {_text(early.overthinking(), PERCENT)} of the images")


def _text(found: Difference, style: str) -> str:
    return f"{found.value[0]:{style}} ({found.low[0]:{style}} to {found.high[0]:{style}})"


def _json(frame: Frame, early: EarlyAnswers) -> dict[str, Any]:
    accuracy = early.accuracy()
    columns = [tables.finite(one) for one in (accuracy.value, accuracy.low, accuracy.high)]
    columns += [tables.finite(early.shares(answers)) for answers in (None, True, False)]
    keys = ("accuracy", "low", "high", "decided", "decided_right", "decided_wrong")
    rows = zip(early.names, early.places.tolist(), early.heads, *columns, strict=True)
    return {
        "model": frame.model.name,
        "version": frame.model.version,
        "dataset": frame.dataset,
        "images": len(frame),
        "accuracy": frame.accuracy,
        "mean_depth": {words: _values(early.mean_depth(answers)) for words, answers in ANSWERS.items()},
        "overthinking": _values(early.overthinking()),
        "blocks": [
            {"name": name, "place": place, "head": head, **dict(zip(keys, numbers, strict=True))}
            for name, place, head, *numbers in rows
        ],
    }


def _values(found: Difference) -> dict[str, float | None]:
    value, low, high = (tables.finite(one)[0] for one in (found.value, found.low, found.high))
    return {"value": value, "low": low, "high": high}
