"""Cost of block statistics and of a block scale: each graph beside the lean one, by turns."""

from on_gpu.graphs import GRAPHS, Resident
from on_gpu.results import Results
from on_gpu.settings import Settings
from on_gpu.timing import Race, reason

NOTES = (
    "Time of a batch over the lean graph's, median of the ratios within each turn; images and answers stay on the "
    "device.",
)


def run(settings: Settings, results: Results) -> None:
    """Adds a row for each model, batch size, and with and without CUDA graphs."""
    others = [name for name in GRAPHS if name != "lean"]
    columns = "model", "precision", "batch", "CUDA graphs", "lean, images/s", *(f"{name} / lean" for name in others)
    table = results.table("Statistics and lesions", *columns, notes=NOTES)
    for model, precision in settings.variants():
        for recorded in settings.recordings:
            sessions: dict[str, Resident] = {}
            for name, file in GRAPHS.items():
                try:
                    sessions[name] = Resident(settings.directory(model, precision) / file, settings.provider(recorded))
                except Exception as error:  # whatever ONNX Runtime raises; the others go on
                    table.note(f"{model.named(precision)}, {file}: {reason(error)}")
            for batch in model.batches[:2]:
                contenders = {
                    name: (lambda session=session, batch=batch: session.at(batch)) for name, session in sessions.items()
                }
                race = Race(contenders, settings.turns, settings.seconds)
                ratios = [race.ratio(name, "lean") for name in others]
                table.add(model.name, precision, batch, recorded, race.rate("lean", batch), *ratios)
                for name, why in race.failures.items():
                    table.note(f"{model.named(precision)}, {GRAPHS[name]}, batch {batch}: {why}")
