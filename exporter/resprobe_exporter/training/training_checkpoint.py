"""Puts down a training run and takes it up again: one file, replaced as a whole, that the same run goes on from.

A run that goes on has the same weights at the end, bit for bit, as one that was never interrupted on the same machine.
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
    """Writes the state of a run to a directory every now and then."""

    def __init__(self, directory: Path, resume: bool = False, seconds: float = 30.0) -> None:
        """Looks whether there is a checkpoint.

        Args:
            directory: Made if it does not exist.
            resume: Whether to go on from what is there; where there is nothing, training begins.
            seconds: Between two checkpoints. The last step is always written.

        Raises:
            CheckpointError: There is one, and it is not to be used; or the directory cannot be made.
        """
        self.path = directory / FILE
        self.published: tuple[Path, ...] = ()  # versions that the finished run was written as; known after `load`
        self._seconds, self._written = seconds, time.monotonic()
        if not resume and self.path.exists():
            raise CheckpointError(f"{self.path} exists: go on from it with --resume, or remove it to begin again")
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{directory} cannot be made: {error.strerror}") from error
        _files.check(self.path, what="a checkpoint")

    def load(self, run: Mapping[str, Any]) -> dict[str, Any] | None:
        """The state that was written last, on the CPU. If None, there is none.

        Args:
            run: What `describe_run` says of the run that is to go on.

        Raises:
            CheckpointError: It cannot be read, or was written by another run; the text names the first difference.
        """
        if not self.path.exists():
            return None
        try:
            content = self._read()
            written, state = content["run"], content["state"]
            self.published = tuple(map(Path, content.get("published", ())))
        except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError, ValueError, OSError) as error:
            raise CheckpointError(f"{self.path} is no checkpoint of a training run: {error}") from error
        for key in (*run, *(key for key in written if key not in run)):
            if written.get(key) != run.get(key):
                raise CheckpointError(
                    f"{self.path} was written with {key} = {written.get(key)}; this run has {run.get(key)}"
                )
        found: dict[str, Any] = state
        return found

    def due(self, last: bool) -> bool:
        """Whether it is time to write."""
        return last or time.monotonic() - self._written >= self._seconds

    def save(self, run: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Replaces the checkpoint; whoever kills the process finds the old or the new one, whole.

        Raises:
            CheckpointError: It cannot be written.
        """
        self._write({"run": dict(run), "state": dict(state)})

    def mark(self, version: Path) -> None:
        """Notes that the finished run was written as a version, so that resuming it does not write it again.

        Raises:
            CheckpointError: It cannot be written.
        """
        if self.path.exists():  # no steps, no checkpoint
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
    """All that decides the weights, by name: net.depth, recipe.momentum, recipe.schedule.warmup, data.sha256, seed."""
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
