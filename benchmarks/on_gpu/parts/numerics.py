"""Every graph on the device against float32 on the CPU, same images: logits, block statistics and best classes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from resprobe import datasets
from resprobe_protos.contract import BLOCK_SCALE, BLOCKS, IMAGE, LOGITS
from resprobe_server.execution.providers import CPU, CUDA, Provider, open_session
from resprobe_server.execution.session import Session

from on_gpu.graphs import GRAPHS, as_served, noise
from on_gpu.results import Results
from on_gpu.settings import PRECISIONS, Model, Settings
from on_gpu.timing import reason

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
ROWS = 16  # in a batch; there are two of different images, so that a place that is not written anew shows
NOTES = (
    "Logits: largest |difference| in an image over the image's largest |logit|. Statistics: of ‖F(x)‖ and ‖s(x)‖ over "
    "themselves, of ⟨F(x), s(x)⟩ over ‖F(x)‖‖s(x)‖. The lesion graphs have a third of the blocks removed at random. "
    "TF32 is ONNX Runtime's default on CUDA. float16 graphs are held against float32 on the CPU too.",
)


def run(settings: Settings, results: Results) -> None:
    """Adds a row for each model, graph and way to run it."""
    columns = "model", "images", "graph", "run as", "logits, relative", "statistics, relative", "best class agrees"
    table = results.table("Device against CPU, largest differences", *columns, notes=NOTES)
    for model in settings.written():
        kind, images = _images(model, settings)
        for name, file in GRAPHS.items():
            path = settings.directory(model) / file
            reference = Session(path, replace(Provider(), threads=1 if settings.quick else 0))
            batches = [_inputs(reference, part) for part in np.split(images, 2)]
            expected = [reference.run(batch) for batch in batches]
            for way, make in _ways(model, file, settings):
                try:
                    runner = make()
                    found = [runner(batch) for batch in batches]
                except Exception as error:  # whatever ONNX Runtime raises; the others go on
                    table.add(model.name, kind, name, way, None, None, None)
                    table.note(f"{model.name}, {name}, {way}: {reason(error)}")
                    continue
                table.add(model.name, kind, name, way, *_compare(_join(found), _join(expected)))


def _ways(
    model: Model, file: str, settings: Settings
) -> Iterator[tuple[str, Callable[[], Callable[[Arrays], Arrays]]]]:
    """Returns ways to run a graph: their names, and functions that return a function of inputs."""
    for precision in PRECISIONS:
        if settings.has(model, precision):
            path = settings.directory(model, precision) / file
            for recorded in settings.recordings:
                provider = settings.provider(recorded)
                where = "CPU" if provider.name == CPU else "TF32" if precision == "float32" else "CUDA"
                yield f"{precision}, {where}{', CUDA graphs' * recorded}", partial(_as_served, path, provider)
    if settings.device == "cuda":
        yield "float32, TF32 off", partial(_without_tf32, settings.directory(model) / file, settings.provider())


def _as_served(path: Path, provider: Provider) -> Callable[[Arrays], Arrays]:
    return as_served(path, provider).run


def _without_tf32(path: Path, provider: Provider) -> Callable[[Arrays], Arrays]:
    session = open_session(path, provider)
    session.set_providers([CUDA, CPU], [{"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}, {}])
    used = session.get_provider_options()[CUDA]["use_tf32"]
    if used != "0":
        raise RuntimeError(f"use_tf32 is {used} after it was set to 0")
    names = [value.name for value in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _images(model: Model, settings: Settings) -> tuple[str, npt.NDArray[np.uint8]]:
    rows = 4 if settings.quick else 2 * ROWS
    if settings.data is not None and model.size == 32:
        images = datasets.load("cifar10", settings.data, "test").images
        assert isinstance(images, np.ndarray)
        return "CIFAR-10", images[:rows]
    return "noise", noise((rows, model.size, model.size, 3))


def _inputs(session: Session, images: npt.NDArray[np.uint8]) -> dict[str, Array]:
    inputs: dict[str, Array] = {IMAGE: images}
    for tensor in session.inputs:
        if tensor.name == BLOCK_SCALE:
            shape = len(images), tensor.shape[1] or 0
            inputs[BLOCK_SCALE] = (np.random.default_rng(1).random(shape) > 1 / 3).astype(np.float32)
    return inputs


def _join(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in parts[0]}


def _compare(found: Arrays, expected: Arrays) -> tuple[float, float | None, float]:
    """Returns the largest difference of logits and of statistics, and the share of images with the same best class."""
    logits, right = found[LOGITS], expected[LOGITS]
    difference = float((np.abs(logits - right).max(1) / np.abs(right).max(1)).max())
    agree = float((logits.argmax(1) == right.argmax(1)).mean())
    if BLOCKS not in expected:
        return difference, None, agree
    statistics, wanted = found[BLOCKS][..., :3], expected[BLOCKS][..., :3]
    branch, shortcut = wanted[..., 0], wanted[..., 1]
    scale = np.maximum(np.stack([branch, shortcut, branch * shortcut], -1), np.finfo(np.float32).tiny)
    return difference, float((np.abs(statistics - wanted) / scale).max()), agree
