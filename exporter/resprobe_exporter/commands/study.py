"""`exporter study`."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resprobe import datasets

from resprobe_exporter.commands.options import Device, choose_device, console
from resprobe_exporter.nets.info import Shortcut

if TYPE_CHECKING:
    from resprobe_exporter.study import Plan, Results, Taken


@dataclass(frozen=True)
class Study:
    """Ask the paper's questions: train plain and residual nets of several depths, measure them, and write a page.

    Does depth hurt plain nets, and why: overfitting, vanishing gradients, or layers that cannot keep the identity? Is
    F(x) close to zero, and does it matter? Without --dataset it trains 36 nets on scikit-learn's digits, in about a
    quarter of an hour on two cores. Killed and started again, it goes on where it was.

    With --checkpoints it measures published weights instead of training; what cannot be answered then, it says.

    Examples:
      exporter study
      exporter study --depths 8 14 20 --seeds 1 --epochs 3 --out quick
      exporter study --dataset cifar10 --data ~/cifar --checkpoints resnet20.th resnet56.th --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
    """  # noqa: E501

    depths: tuple[int, ...] = (8, 14, 20, 32, 44, 56)
    """Weighted layers of the nets that are trained, each 6n+2."""
    seeds: int = 3
    """Nets of each family and depth; intervals need at least two."""
    dataset: datasets.Name = "digits"
    """What to train on; see exporter build --help."""
    data: Path | None = None
    """Directory of the data set's files."""
    shortcut: Shortcut = "A"
    """Where the number of channels changes: A pads with zeros, which adds no parameters; B projects."""
    epochs: int | None = None
    """Passes over the training images. Default: 12 for digits, 30 for the others."""
    checkpoints: tuple[Path, ...] = ()
    """Measure these residual nets instead of training."""
    plain_checkpoints: tuple[Path, ...] = ()
    """Measure these plain nets instead of training."""
    mean: tuple[float, ...] = ()
    """Mean of each channel that the checkpoints were trained with, for pixels in [0, 1]."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel that the checkpoints were trained with."""
    weights: str | None = None
    """Which weights of the checkpoints, where they hold several: ema, raw or a key of the file."""
    limit: int | None = None
    """Maximum images to measure errors, responses and ratios on."""
    lesion_limit: int = 1000
    """Maximum test images to measure lesions on."""
    device: Device = "auto"
    """Where to compute; auto takes the GPU if there is one."""
    workers: int | None = None
    """Nets at a time, each with one thread. Default: one for each core, and one on a GPU."""
    out: Path = Path("study")
    """Directory to write to, or to go on in."""
    json: bool = False
    """Print the answers as JSON."""

    def run(self) -> None:
        """Measures what is not measured yet, and writes the answers."""
        from resprobe_exporter import progress
        from resprobe_exporter.errors import ExporterError
        from resprobe_exporter.study import run

        if self.workers is not None and self.workers < 1:
            raise ExporterError(f"--workers {self.workers}: expected 1 or more")
        device = choose_device(self.device)
        workers = self.workers or (1 if device.type == "cuda" else len(os.sched_getaffinity(0)))
        results = run(self._plan(), self.out, device, workers, progress.note)
        self._print(results)

    def _plan(self) -> "Plan":
        from resprobe_exporter.study import Plan, default_recipe

        return Plan(
            recipe=default_recipe(self.dataset, self.epochs),
            dataset=self.dataset,
            data=self.data,
            depths=self.depths,
            seeds=self.seeds,
            shortcut=self.shortcut,
            taken=self._taken(),
            limit=self.limit,
            lesion_limit=self.lesion_limit,
        )

    def _taken(self) -> "Taken | None":
        from resprobe_exporter.errors import ExporterError
        from resprobe_exporter.nets.preprocessing import Preprocessing
        from resprobe_exporter.study import Taken

        if not self.checkpoints and not self.plain_checkpoints:
            return None
        if not self.mean or not self.std:
            raise ExporterError("--checkpoints needs --mean and --std, those that the nets were trained with")
        return Taken(self.checkpoints, self.plain_checkpoints, Preprocessing(self.mean, self.std), self.weights)

    def _print(self, results: "Results") -> None:
        if self.json:
            print(json.dumps(results.as_json(), ensure_ascii=False))
            return
        for number, answer in enumerate(results.answers, 1):
            console.print(f"{number}. {answer.question}\n   {answer.verdict}", markup=False)
        console.print(
            f"{self.out / 'index.html'}: the page; beside it results.json and a Parquet table each", markup=False
        )
