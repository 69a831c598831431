"""`exporter study`."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from resprobe import datasets
from resprobe.cli.options import Connection

from resprobe_exporter.commands.options import Device, choose_device, console
from resprobe_exporter.nets.info import Shortcut

if TYPE_CHECKING:
    from resprobe.datasets import Dataset

    from resprobe_exporter.study import ImportedNets, StudyPlan, StudyResults
    from resprobe_exporter.study.served import ServedStudy

OF_TRAINING = (
    "depths", "seeds", "shortcut", "epochs", "checkpoints", "plain_checkpoints", "mean", "std", "weights",
    "lesion_limit", "device", "workers",
)  # fmt: skip
OF_SERVED = ("images", "resize", "connection")


@dataclass(frozen=True)
class Study:
    """Study depth as the paper does: train plain and residual nets of several depths, measure them, and write a page.

    Does depth hurt plain nets, and why: overfitting, vanishing gradients, or layers that cannot keep the identity? Is
    F(x) close to zero, and does it matter? When does a net decide, and what predicts cheaply which blocks it needs?
    Without --dataset it trains 36 nets on scikit-learn's digits, in about a quarter of an hour on two cores. After a
    kill, the same command continues with the nets that are missing.

    With --checkpoints it measures published weights and trains nothing; it names the questions that this leaves open.

    With --models it trains nothing either: it asks a server about the same images with several models, and compares
    what their blocks add with what shortcuts carry. So ResNets can be compared with ViTs (Raghu et al. 2021).

    Examples:
      exporter study
      exporter study --depths 8 14 20 --seeds 1 --epochs 3 --out quick
      exporter study --dataset cifar10 --data ~/cifar --checkpoints resnet20.th resnet56.th --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
      exporter study --models resnet50 vit_tiny --images ~/pictures --limit 500 --out resnet-vit
      exporter study --models resnet50 vit_tiny --dataset cifar10 --data ~/cifar --limit 1000 --resize
    """  # noqa: E501

    depths: tuple[int, ...] = (8, 14, 20, 32, 44, 56)
    """Depths of the nets that are trained, in weighted layers: 6n+2."""
    seeds: int = 3
    """Number of nets of each family and depth, each with a seed of its own; intervals need at least two."""
    dataset: datasets.Name = "digits"
    """Data set to train on, as of exporter build. With --models, its test images are sent."""
    data: Path | None = None
    """Directory of the data set's files. Not used for digits."""
    shortcut: Shortcut = "A"
    """Shortcut option, as of exporter build. A adds no parameters."""
    epochs: int | None = None
    """Passes over the training images. Default: 12 for digits, 30 for other data sets."""
    checkpoints: tuple[Path, ...] = ()
    """Checkpoints of residual nets to measure. If there are any checkpoints, no net is trained."""
    plain_checkpoints: tuple[Path, ...] = ()
    """Checkpoints of plain nets to measure. If there are any checkpoints, no net is trained."""
    mean: tuple[float, ...] = ()
    """Mean of each channel that the checkpoints were trained with, for pixels in [0, 1]."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel that the checkpoints were trained with, for pixels in [0, 1]."""
    weights: str | None = None
    """Weights to read from checkpoints with several: ema, raw, or the key that they are under."""
    models: tuple[str, ...] = ()
    """Served models to compare, each as NAME or NAME/VERSION; at least two. Nothing is trained then."""
    images: tuple[Path, ...] = ()
    """Picture files, and folders of pictures, to send to --models instead of --dataset; they need no labels."""
    resize: bool = False
    """Resize images of --dataset whose size or channels differ from those of one of --models."""
    connection: tyro.conf.OmitArgPrefixes[Connection] = field(default_factory=Connection)
    limit: int | None = None
    """Maximum number of images to measure errors, responses, ratios and readouts on. Default: all."""
    lesion_limit: int = 1000
    """Maximum number of test images to measure lesions on, and the statistics that are compared with them."""
    device: Device = "auto"
    """Device to compute on. auto: the GPU if there is one."""
    workers: int | None = None
    """Number of nets at a time, each with one thread. Default: one for each core, and one on a GPU."""
    out: Path = Path("study")
    """Directory to write to. Nets that it already holds are not measured again."""
    json: bool = False
    """Print the answers as JSON."""

    def run(self) -> None:
        """Runs or resumes the study, and prints the answers."""
        from resprobe_exporter import progress
        from resprobe_exporter.errors import ExporterError
        from resprobe_exporter.study import run_study

        self._check()
        if self.models:
            self._print(self._served(self.models))
            return
        if self.workers is not None and self.workers < 1:
            raise ExporterError(f"--workers {self.workers}: expected 1 or more")
        device = choose_device(self.device)
        workers = self.workers or (1 if device.type == "cuda" else len(os.sched_getaffinity(0)))
        results = run_study(self._plan(), self.out, device, workers, progress.note)
        self._print(results)

    def _check(self) -> None:
        """Raises ExporterError if options do not go together."""
        from resprobe_exporter.errors import ExporterError

        defaults = Study()

        def given(options: tuple[str, ...]) -> list[str]:
            changed = (name for name in options if getattr(self, name) != getattr(defaults, name))
            return [f"--{'address' if name == 'connection' else name.replace('_', '-')}" for name in changed]

        if self.models and (wrong := given(OF_TRAINING)):
            raise ExporterError(f"--models trains nothing and reads no checkpoints: leave out {' and '.join(wrong)}")
        if not self.models and (wrong := given(OF_SERVED)):
            raise ExporterError(f"{' and '.join(wrong)}: expected --models too, names of served models")
        if self.images and (wrong := given(("dataset", "data", "resize"))):
            raise ExporterError(f"--images are sent instead of a data set: leave out {' and '.join(wrong)}")

    def _served(self, models: tuple[str, ...]) -> "ServedStudy":
        """Measures served models and writes the answers."""
        from resprobe.cli.source import check_limit

        from resprobe_exporter import progress
        from resprobe_exporter.study.served import ServedStudy, find_pictures, measure, prepare

        check_limit(self.limit)
        if self.images:
            source: Dataset | list[Path] = find_pictures(self.images, self.limit)
        else:
            source = datasets.load(self.dataset, self.data, "test").head(self.limit)
        prepare(self.out)
        with self.connection.client() as client:
            results = ServedStudy(measure(client, models, source, self.resize, progress.note))
        results.write(self.out)
        return results

    def _plan(self) -> "StudyPlan":
        from resprobe_exporter.study import StudyPlan, default_recipe

        return StudyPlan(
            recipe=default_recipe(self.dataset, self.epochs),
            dataset=self.dataset,
            data=self.data,
            depths=self.depths,
            seeds=self.seeds,
            shortcut=self.shortcut,
            imported=self._imported(),
            limit=self.limit,
            lesion_limit=self.lesion_limit,
        )

    def _imported(self) -> "ImportedNets | None":
        from resprobe_exporter.errors import ExporterError
        from resprobe_exporter.nets.preprocessing import Preprocessing
        from resprobe_exporter.study import ImportedNets

        if not self.checkpoints and not self.plain_checkpoints:
            return None
        if not self.mean or not self.std:
            raise ExporterError("--checkpoints needs --mean and --std, those that the nets were trained with")
        return ImportedNets(self.checkpoints, self.plain_checkpoints, Preprocessing(self.mean, self.std), self.weights)

    def _print(self, results: "StudyResults | ServedStudy") -> None:
        if self.json:
            print(json.dumps(results.as_json(), ensure_ascii=False))
            return
        for number, answer in enumerate(results.answers, 1):
            console.print(f"{number}. {answer.question}\n   {answer.verdict}", markup=False)
        console.print(
            f"{self.out / 'index.html'}: the page; beside it results.json and a Parquet table each", markup=False
        )
