"""Checkpoints of a training run: one file, replaced as a whole, that the same run resumes from.

On the same machine, a resumed run ends with the same weights, bit for bit, as one that was never interrupted.
"""

import hashlib
import io
import pickle
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from resprobe import Error, _files

from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.training.data import Data
from resprobe_exporter.training.recipes import Recipe

FILE = "training.pt"


class Checkpoints:
    """Checkpoints of one training run, in a directory.

    Attributes:
        path: Path of the checkpoint file.
        published: Versions that the finished run was published as; known after `load`.
    """

    def __init__(self, directory: Path, resume: bool = False, seconds: float = 30.0) -> None:
        """Checks that checkpoints can be written.

        Args:
            directory: Checkpoint directory; created if it does not exist.
            resume: Whether to resume from an existing checkpoint. If there is none, training begins.
            seconds: Minimum seconds between two checkpoints. The last step is always written.

        Raises:
            CheckpointError: There is a checkpoint and `resume` is False, or the directory cannot be written.
        """
        self.path = directory / FILE
        self.published: tuple[Path, ...] = ()
        self._seconds, self._written = seconds, time.monotonic()
        if not resume and self.path.exists():
            raise CheckpointError(f"{self.path} exists: resume from it with --resume, or remove it to begin again")
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{directory} cannot be made: {error.strerror}") from error
        _files.check(self.path, what="a checkpoint")

    def load(self, run: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns the state that was written last, on the CPU. If None, there is no checkpoint.

        Args:
            run: Description of the run to resume, by `describe_run`.

        Raises:
            CheckpointError: The file cannot be read, or another run wrote it; the text names the first difference.
        """
        if not self.path.exists():
            return None
        try:
            content = self._read()
            written, state = content["run"], content["state"]
            self.published = tuple(map(Path, content.get("published", ())))
        except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError, OSError) as error:
            raise CheckpointError(f"{self.path} is not a checkpoint of a training run: {error}") from error
        for key in (*run, *(key for key in written if key not in run)):
            if written.get(key) != run.get(key):
                raise CheckpointError(
                    f"{self.path} was written with {key} = {written.get(key)}; this run has {run.get(key)}"
                )
        found: dict[str, Any] = state
        return found

    def due(self, last: bool) -> bool:
        """Returns whether it is time to write a checkpoint; after the last step it always is."""
        return last or time.monotonic() - self._written >= self._seconds

    def save(self, run: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Replaces the checkpoint. If the process is killed meanwhile, the old or the new checkpoint is left, whole.

        Raises:
            CheckpointError: The checkpoint cannot be written.
        """
        self._write({"run": dict(run), "state": dict(state)})

    def mark(self, version: Path) -> None:
        """Records that the finished run was published as a version, so that resuming it does not publish it again.

        Raises:
            CheckpointError: The checkpoint cannot be written.
        """
        if self.path.exists():  # a run without steps has no checkpoint
            self.published = (*self.published, version.absolute())
            self._write({**self._read(), "published": [str(path) for path in self.published]})

    def _read(self) -> dict[str, Any]:
        content: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return content

    def _write(self, values: Mapping[str, Any]) -> None:
        content = io.BytesIO()  # torch reports a file that cannot be written in its own way
        torch.save(dict(values), content)
        try:
            _files.write(self.path, content.getvalue())
        except Error as error:
            raise CheckpointError(str(error)) from error
        self._written = time.monotonic()


def describe_run(net: ResNet, data: Data, recipe: Recipe, seed: int) -> dict[str, Any]:
    """Returns everything that determines the weights, such as net.depth, recipe.schedule.warmup and data.sha256."""
    digest = hashlib.sha256(data.train.images.cpu().numpy().tobytes())
    digest.update(data.train.labels.cpu().numpy().tobytes())
    described = {
        "data": {"name": data.name, "mirrored": data.mirrored, "sha256": digest.hexdigest()},
        "net": asdict(net.architecture),
        "recipe": recipe.as_json(),
        "seed": seed,
    }
    return dict(_flat("", described))


def _flat(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        return [(prefix, value)]
    return [pair for key, one in value.items() for pair in _flat(f"{prefix}.{key}" if prefix else key, one)]
