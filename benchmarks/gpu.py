"""Everything about resprobe on a GPU, in one command of under five minutes: numbers, speed, serving, memory, training.

    python benchmarks/gpu.py --out results
    python benchmarks/gpu.py --out results --parts numerics --checkpoints ~/checkpoints --data ~/cifar-10-batches-bin
    python benchmarks/gpu.py --out results --device cpu --quick

Each part runs in a process of its own with a time limit; what fails or hangs costs only that part, and says so. After
each part DIR/gpu.md and DIR/gpu.json are written anew, and the part's tables are printed; what a part printed itself is
in DIR/PART.log. Exit code 1 where a part has failed.
"""

import json
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from on_gpu.parts import PARTS
from on_gpu.processes import Outcome, find_cuda_libraries, run
from on_gpu.settings import Device, Settings


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    out: Path
    """Directory to write gpu.md, gpu.json and the log of each part to."""
    device: Device = "cuda"
    """Device that graphs and nets run on."""
    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run every part with tiny settings to check the benchmark itself; the figures then mean nothing."""
    parts: str = ""
    """Parts to run, separated by commas: machine, models, numerics, speed, served, cost, memory, training, compiled,
    accuracy. If empty, all, but accuracy only with --data, and compiled not with --quick."""
    minutes: float = 5.0
    """Maximum minutes for all parts together; the report names the parts that were left out."""
    models: Path | None = None
    """Model repository; models that it holds are used again. If None, a temporary one."""
    checkpoints: Path | None = None
    """Directory of published weights, resnet20-*.th. If None, weights are random."""
    data: Path | None = None
    """Directory of CIFAR-10 in its binary layout. If None, images are noise."""


def chosen(options: Options) -> list[str]:
    """Returns the parts to run, in order. Exits if one is unknown."""
    wanted = [part.strip() for part in options.parts.split(",") if part.strip()]
    without = {"compiled"} if options.quick else {"accuracy"} if options.data is None else set()
    wanted = wanted or [part for part in PARTS if part not in without]
    if unknown := [part for part in wanted if part not in PARTS]:
        sys.exit(f"--parts {','.join(unknown)}: expected some of {', '.join(PARTS)}")
    if any(PARTS[part].reads_models for part in wanted):
        wanted.append("models")
    return [part for part in PARTS if part in wanted]


def markdown(name: str, outcome: Outcome) -> str:
    """Returns the results of a part as Markdown."""
    lines = [f"## {PARTS[name].what} (`{name}`, {outcome.seconds:.0f} s)", ""]
    if outcome.failure is not None:
        lines += [f"FAILED: {outcome.failure}", ""]
    if outcome.log:
        lines += ["```", outcome.log.strip(), "```", ""]
    return "\n".join([*lines, *(table.markdown() for table in outcome.tables)])


def header(options: Options, outcomes: dict[str, Outcome]) -> str:
    """Returns the heading of the report: what the benchmark ran on, as far as that is known."""
    tables = outcomes["machine"].tables if "machine" in outcomes else []
    known = {row[0]: row[1] for table in tables for row in table.rows}
    where = "; ".join(str(known[key]) for key in ("GPU", "CPU", "provider of the server's sessions") if key in known)
    tiny = " Run with --quick: the figures say nothing." if options.quick else ""
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"# resprobe on {options.device}, {when}\n\nRan on: {where or 'not asked'}.{tiny}\n"


def write(options: Options, outcomes: dict[str, Outcome]) -> None:
    """Writes gpu.md and gpu.json."""
    texts = [header(options, outcomes), *(markdown(name, outcome) for name, outcome in outcomes.items())]
    (options.out / "gpu.md").write_text("\n".join(texts), encoding="utf-8")
    found = {"command": sys.argv, "parts": {name: asdict(outcome) for name, outcome in outcomes.items()}}
    (options.out / "gpu.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def main() -> None:
    """Runs the parts, prints their results and writes the report."""
    options = tyro.cli(Options, description=__doc__)
    parts = chosen(options)
    options.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part that runs is ended too
    find_cuda_libraries()
    end = time.monotonic() + 60 * options.minutes
    outcomes: dict[str, Outcome] = {}
    with ExitStack() as stack:
        repository = options.models or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = Settings(options.device, options.quick, repository.absolute(), options.checkpoints, options.data)
        for name in parts:
            left = end - time.monotonic()
            short = Outcome([], 0.0, f"left out: --minutes {options.minutes:g} were over")
            limit = min(PARTS[name].limit, left)
            outcomes[name] = run(name, settings, limit, options.out) if left > 0 else short
            print(markdown(name, outcomes[name]), flush=True)
            write(options, outcomes)
    sys.exit(int(any(outcome.failure for outcome in outcomes.values())))


if __name__ == "__main__":
    main()
