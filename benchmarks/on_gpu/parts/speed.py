"""Images/s of ONNX Runtime and of PyTorch in eager mode, one batch after the other, each waited for."""

from collections.abc import Callable

import torch
from resprobe_server.repository import IMAGE, LEAN
from resprobe_server.session import Session

from on_gpu import nets
from on_gpu.graphs import Resident, noise
from on_gpu.results import Results
from on_gpu.settings import Model, Settings
from on_gpu.timing import Race, Run

LAST = torch.channels_last
NOTES = (
    "Images/s, median of turns. ONNX Runtime: images and answers stay on the device. With copies: as the server runs "
    "it, images from the host, answers back. PyTorch: eager, images on the device, cuDNN searches for its fastest "
    "kernels, float32 with TF32 where nothing else is said; bf16 and fp16 by autocast, for reference. All normalise "
    "the pixels.",
)


def run(settings: Settings, results: Results) -> None:
    """Adds a row for each model and batch size."""
    torch.set_float32_matmul_precision("high")  # TF32, as ONNX Runtime has it
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(1 if settings.quick else torch.get_num_threads())
    names = list(_contenders(settings.models[0], 1, settings, torch.nn.Identity()))
    table = results.table("ONNX Runtime and PyTorch", "model", "batch", *names, notes=NOTES)
    for model in settings.written():
        net = nets.make(model)
        for batch in model.batches:
            race = Race(_contenders(model, batch, settings, net), settings.turns, settings.seconds)
            table.add(model.name, batch, *(race.rate(name, batch) for name in names))
            for name, reason in race.failures.items():
                table.note(f"{model.name}, batch {batch}, {name}: {reason}")


def _contenders(model: Model, batch: int, settings: Settings, net: torch.nn.Module) -> dict[str, Callable[[], Run]]:
    path = settings.directory(model) / LEAN
    shape = batch, model.size, model.size, 3

    def copying() -> Run:
        session, images = Session(path, settings.provider()), noise(shape)
        return lambda: session.run({IMAGE: images})

    def eager(form: torch.memory_format, autocast: torch.dtype | None = None) -> Callable[[], Run]:
        return lambda: nets.runner(net, torch.from_numpy(noise(shape)).to(settings.device), form, autocast)

    found: dict[str, Callable[[], Run]] = {
        "ONNX Runtime": lambda: Resident(path, settings.provider()).at(batch),
        "with copies": copying,
        "PyTorch": eager(torch.contiguous_format),
        "channels_last": eager(LAST),
    }
    if settings.device == "cuda":
        found["ONNX Runtime, CUDA graph"] = lambda: Resident(path, settings.provider(cuda_graphs=True)).at(batch)
        found["channels_last, bf16"] = eager(LAST, torch.bfloat16)
        found["channels_last, fp16"] = eager(LAST, torch.float16)
    return found
