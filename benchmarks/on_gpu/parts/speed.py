"""Images/s of ONNX Runtime and of PyTorch in eager mode, one batch at a time."""

from collections.abc import Callable
from functools import cache, partial

import torch
from resprobe_protos.contract import IMAGE, LEAN

from on_gpu import nets
from on_gpu.graphs import Resident, as_served, noise
from on_gpu.results import Results
from on_gpu.settings import Model, Settings
from on_gpu.timing import Race, Run

LAST = torch.channels_last
NOTES = (
    "Images/s, median of turns. ONNX Runtime: float32 unless float16 is said; images and answers stay on the device. "
    "With copies: as the server runs it, images from the host, answers back. PyTorch: eager, images on the device, "
    "cuDNN searches for its fastest kernels, float32 with TF32 where nothing else is said; bf16 and fp16 by autocast, "
    "for reference. All normalise the pixels.",
)


def run(settings: Settings, results: Results) -> None:
    """Adds a row for each model and batch size."""
    torch.set_float32_matmul_precision("high")  # TF32, as ONNX Runtime has it
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(1 if settings.quick else torch.get_num_threads())
    names = list(_contenders(settings.models[0], settings))
    table = results.table("ONNX Runtime and PyTorch", "model", "batch", *names, notes=NOTES)
    for model in settings.written():
        contenders = _contenders(model, settings)
        for batch in model.batches:
            makers = {name: partial(make, batch) for name, make in contenders.items()}
            race = Race(makers, settings.turns, settings.seconds)
            table.add(model.name, batch, *(race.rate(name, batch) for name in names))
            for name, reason in race.failures.items():
                table.note(f"{model.name}, batch {batch}, {name}: {reason}")


def _contenders(model: Model, settings: Settings) -> dict[str, Callable[[int], Run]]:
    """Returns functions that prepare each contender for a batch size. Sessions and nets are opened when first used."""
    shape = model.size, model.size, 3
    resident = cache(lambda one, recorded: Resident(settings.directory(model, one) / LEAN, settings.provider(recorded)))
    copying = cache(lambda: as_served(settings.directory(model) / LEAN, settings.provider()))
    net = cache(lambda: nets.make(model))

    def copied(batch: int) -> Run:
        session, images = copying(), noise((batch, *shape))
        return lambda: session.run({IMAGE: images})

    def eager(form: torch.memory_format, autocast: torch.dtype | None, batch: int) -> Run:
        return nets.runner(net(), torch.from_numpy(noise((batch, *shape))).to(settings.device), form, autocast)

    found: dict[str, Callable[[int], Run]] = {
        "ONNX Runtime": lambda batch: resident("float32", False).at(batch),
        "ONNX Runtime, float16": lambda batch: resident("float16", False).at(batch),
        "with copies": copied,
        "PyTorch": partial(eager, torch.contiguous_format, None),
        "channels_last": partial(eager, LAST, None),
    }
    if settings.device == "cuda":
        found["ONNX Runtime, CUDA graph"] = lambda batch: resident("float32", True).at(batch)
        found["ONNX Runtime, float16, CUDA graph"] = lambda batch: resident("float16", True).at(batch)
        found["channels_last, bf16"] = partial(eager, LAST, torch.bfloat16)
        found["channels_last, fp16"] = partial(eager, LAST, torch.float16)
    return found
