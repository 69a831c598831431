"""Images/s of torch.compile beside ONNX Runtime's, at one batch size a net, since each compilation takes its time."""

import time
from collections.abc import Callable
from typing import Any

import torch
from resprobe_protos.contract import LEAN
from torch import Tensor, nn

from on_gpu import nets
from on_gpu.graphs import Resident, noise
from on_gpu.results import Results
from on_gpu.settings import Model, Settings
from on_gpu.timing import Race, Run

BATCH = 128
LAST, FIRST = torch.channels_last, torch.contiguous_format
WAYS: tuple[tuple[str, torch.memory_format, torch.dtype | None, dict[str, Any]], ...] = (
    ("channels_last, CUDA graph (reduce-overhead)", LAST, None, {"mode": "reduce-overhead"}),
    ("channels_last, CUDA graph, bf16", LAST, torch.bfloat16, {"mode": "reduce-overhead"}),
    ("channels_last", LAST, None, {}),
    ("not channels_last", FIRST, None, {}),
)
TINY: tuple[tuple[str, torch.memory_format, torch.dtype | None, dict[str, Any]], ...] = (
    ("captured, not compiled (--quick)", LAST, None, {"backend": "eager"}),
)
NOTES = (
    "float32 with TF32 where nothing else is said; images stay on the device. What is missing did not fit into the "
    "time of this part.",
)


def run(settings: Settings, results: Results) -> None:
    """Adds a row for each net and way to compile it, the quickest to compile first."""
    torch.set_float32_matmul_precision("high")  # TF32, as ONNX Runtime has it
    torch.backends.cudnn.benchmark = True
    columns = "model", "batch", "compiled", "images/s", "× ONNX Runtime", "× with a CUDA graph", "compiled in, s"
    table = results.table("torch.compile", *columns, notes=NOTES)
    ways = TINY if settings.quick else WAYS
    for model in sorted(settings.written(), key=lambda model: model.depth):
        net = nets.make(model)
        for name, form, autocast, options in ways:
            _measure(model, net, settings, name, (form, autocast, options), table.add, table.note)


def _measure(
    model: Model,
    net: nn.Module,
    settings: Settings,
    name: str,
    how: tuple[torch.memory_format, torch.dtype | None, dict[str, Any]],
    add: Callable[..., None],
    note: Callable[[str], None],
) -> None:
    form, autocast, options = how
    batch = max(model.batches) if settings.quick else BATCH
    path, took = settings.directory(model) / LEAN, [0.0]

    def compiled() -> Run:
        torch._dynamo.reset()  # of the way before: each is compiled for itself
        images = torch.from_numpy(noise((batch, model.size, model.size, 3))).to(settings.device)
        begin = time.perf_counter()
        run = nets.runner(net, images, form, autocast, lambda served: _compile(served, options))
        run()
        took[0] = time.perf_counter() - begin
        return run

    contenders = {
        f"ONNX Runtime{', CUDA graph' * recorded}": (
            lambda recorded=recorded: Resident(path, settings.provider(recorded)).at(batch)
        )
        for recorded in settings.recordings
    }
    race = Race({**contenders, name: compiled}, settings.turns, settings.seconds)
    ratios = [race.ratio("ONNX Runtime", name), race.ratio("ONNX Runtime, CUDA graph", name)]
    add(model.name, batch, name, race.rate(name, batch), *ratios, took[0])
    for failed, reason in race.failures.items():
        note(f"{model.name}, {failed}: {reason}")


def _compile(served: nn.Module, options: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    compiled: Callable[[Tensor], Tensor] = torch.compile(served, **options)
    return compiled
