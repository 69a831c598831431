"""`resprobe drift`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from resprobe.analysis import drift
from resprobe.analysis.collect import sweep
from resprobe.analysis.dataset_result import Frame
from resprobe.cli import tables
from resprobe.cli.options import Files, Selection, console, print_notes
from resprobe.cli.source import Source
from resprobe.errors import InvalidRequest

SHOWN = 10  # blocks in the table


@dataclass(frozen=True)
class Drift(Source, Selection):
    """Test whether the input has drifted: whether blocks behave as on the images of the model's baseline.

    Compares the distribution of a statistic in every block with the baseline in the model's description. The distance
    is Kolmogorov and Smirnov's: 0.2 means that a fifth of the images have moved past some value. A block has drifted
    if its distance is at least --threshold and its p-value, corrected for the number of blocks (Holm), is below
    --alpha. So without drift at most a share of --alpha of all runs gives a false alarm.

    Exit code: 0 no drift; 1 drift; 2 no verdict, because of a failure, a wrong command line, output that cannot be
    written, or fewer than 10 images; 130 after Ctrl-C.

    Examples:
      resprobe drift today/*.png
      resprobe drift --dataset cifar10 --data ~/cifar --limit 500 --seed 1
      resprobe drift --stats stats.parquet --statistic cosine --json
    """

    FAILED: ClassVar[int] = 2

    images: Files = ()
    """Picture files to test. Give one of files, --dataset and --stats."""
    stats: Path | None = None
    """Parquet file that resprobe blocks --out wrote, to test the images in it. Needs no server."""
    statistic: Literal["branch_l2", "shortcut_l2", "ratio", "cosine", "branch_std", "branch_mean"] = "ratio"
    """Statistic to compare: ‖F(x)‖, ‖s(x)‖, their ratio, the cosine of F(x) and s(x), or standard deviation or mean of
    F(x)."""
    alpha: float = drift.ALPHA
    """Maximum chance of a false alarm, between 0 and 1."""
    threshold: float = drift.THRESHOLD
    """Minimum distance that counts as drift, from 0 to 1."""

    def run(self) -> None:
        """Asks the server, compares, prints and exits with the verdict."""
        if bool(self.images) + (self.dataset is not None) + (self.stats is not None) != 1:
            raise InvalidRequest("expected picture files, --dataset or --stats; see resprobe drift --help")
        window = self._window()
        if len(window) < drift.FEWEST:
            raise InvalidRequest(f"too few images for a verdict: {len(window)}; expected at least {drift.FEWEST}")
        found = drift.drift(window, statistic=self.statistic, alpha=self.alpha, threshold=self.threshold)
        if self.json:
            self.show({**_json(found), "notes": window.notes})
        else:
            _print(found)
            print_notes(window.notes)
        sys.stdout.flush()  # output that cannot be written is no verdict
        raise SystemExit(1 if found.found else 0)

    def _window(self) -> Frame:
        if self.stats is not None:
            from resprobe.analysis import arrow

            return arrow.read(self.stats)
        with self.client() as client:
            model = client.model(self.model, self.version)
            return sweep(client, self.images or self.load(), model, progress=True, resize=self.resize)


def _print(found: drift.Drift) -> None:
    grid = tables.grid("block", "distance", "p-value", f"median of\n{found.statistic}", "baseline\nmedian", "drifted")
    for place in (-found.distance).argsort()[:SHOWN]:
        grid.add_row(
            found.names[place],
            f"{found.distance[place]:.3f}",
            f"{found.p_value[place]:.2g}",
            f"{found.median[place]:.4g}",
            f"{found.baseline_median[place]:.4g}",
            "yes" if found.drifted[place] else "–",
        )
    console.print(grid)
    count, blocks, model = int(found.drifted.sum()), len(found.names), found.model
    verdict = f"drift in {count} of {blocks} blocks" if count else f"no drift in {blocks} blocks"
    console.print(
        f"\n{verdict}: {found.images:,} images of {found.dataset} against {model.name} version {model.version}'s "
        f"baseline over {model.baseline_images:,} images of {model.dataset}",
        markup=False,
    )
    if found.detectable > found.threshold:
        console.print(
            f"few images: chance explains distances up to {found.detectable:.2f}, more than the threshold of "
            f"{found.threshold:g}"
        )


def _json(found: drift.Drift) -> dict[str, Any]:
    arrays = {
        "distance": found.distance,
        "p_value": found.p_value,
        "median": found.median,
        "baseline_median": found.baseline_median,
    }
    columns = {name: tables.finite(values) for name, values in arrays.items()}
    blocks = [
        {"name": name, "drifted": bool(drifted), **{key: values[place] for key, values in columns.items()}}
        for place, (name, drifted) in enumerate(zip(found.names, found.drifted, strict=True))
    ]
    return {
        "drift": found.found,
        "model": found.model.name,
        "version": found.model.version,
        "dataset": found.dataset,
        "images": found.images,
        "baseline_images": found.model.baseline_images,
        "statistic": found.statistic,
        "alpha": found.alpha,
        "threshold": found.threshold,
        "detectable": found.detectable,
        "blocks": blocks,
    }
