"""Writes the models to measure with the exporter's own commands and functions, each in a process of its own."""

import multiprocessing
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from probe_cost import write_model

from on_gpu import nets
from on_gpu.results import Results
from on_gpu.settings import PRECISIONS, Model, Settings

EXPORTER = (sys.executable, "-m", "resprobe_exporter")
PREPROCESSING = ("--mean", *map(str, nets.MEAN), "--std", *map(str, nets.STD))


def run(settings: Settings, results: Results) -> None:
    """Adds a row for each model. Raises RuntimeError if none could be written."""
    table = results.table("Models", "model", "image", "weights", "written in, s", "failure")
    missing = [model for model in settings.models if not all(settings.has(model, one) for one in PRECISIONS)]
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pools: dict[Model, Executor] = {}
        for model in missing:
            alone = len(missing) == 1  # then a process more would only take time to start
            pools[model] = stack.enter_context(ThreadPoolExecutor(1) if alone else ProcessPoolExecutor(1, context))
        tasks = {model: pool.submit(_write, model, settings) for model, pool in pools.items()}
        for model in settings.models:
            image, weights = f"{model.size}×{model.size}", "published" if _published(model, settings) else "random"
            if model not in tasks:
                table.add(model.name, image, "it was there", None, None)
            elif (error := tasks[model].exception()) is not None:
                table.add(model.name, image, weights, None, f"{type(error).__name__}: {error}")
            else:
                table.add(model.name, image, weights, tasks[model].result(), None)
    settings.written()


def _write(model: Model, settings: Settings) -> float:
    """Writes a model in float32, and then in float16. Returns the seconds that it took."""
    begin = time.perf_counter()
    if not settings.has(model):
        _write_float32(model, settings)
    _run(*EXPORTER, "quantize", model.name, "--precision", "float16", "--repository", str(settings.repository))
    return time.perf_counter() - begin


def _write_float32(model: Model, settings: Settings) -> None:
    where = "--repository", str(settings.repository), "--name", model.name
    if model.depth == 50:
        with tempfile.TemporaryDirectory() as folder:
            file = _export(model, Path(folder, f"{model.name}.onnx"))
            _run(*EXPORTER, "probe", str(file), *PREPROCESSING, *where)
    elif checkpoint := _published(model, settings):
        _run(*EXPORTER, "convert", str(checkpoint), *PREPROCESSING, *where)
    else:
        write_model(model.depth, model.size, settings.repository, model.name)


def _published(model: Model, settings: Settings) -> Path | None:
    found = sorted(settings.checkpoints.glob(f"{model.name}-*.th")) if settings.checkpoints else []
    return found[0] if found else None


def _export(model: Model, path: Path) -> Path:
    """Exports a net to ONNX with a free batch size by torch alone."""
    images = torch.zeros(1, 3, model.size, model.size)
    names: dict[str, Any] = {"input_names": ["data"], "output_names": ["scores"], "dynamic_axes": {"data": {0: "n"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter, which takes a quarter of the time
        torch.onnx.export(nets.make(model), (images,), path, dynamo=False, opset_version=18, **names)
    return path


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:4])} failed: {' '.join(done.stderr.split())[-500:]}")
