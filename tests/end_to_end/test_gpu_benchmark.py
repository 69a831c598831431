"""benchmarks/gpu.py on the CPU, tiny: that every part runs; and that one which fails or hangs costs only itself."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from on_gpu import processes
from on_gpu.parts import PARTS
from on_gpu.settings import Settings
from on_gpu.timing import Race, Run

ROOT = Path(__file__).parents[2]
LIMIT = 230.0  # seconds, far more than it takes


@pytest.mark.long
def test_every_part_runs_on_the_cpu(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert list(parts) == [part for part in PARTS if part != "compiled"]
    for name, part in parts.items():
        assert part["tables"], name
        assert all(table["rows"] for table in part["tables"]), name
    rows = parts["numerics"]["tables"][0]["rows"]
    assert [row[2] for row in rows] == [
        one for one in ("lean", "probe", "lesion", "lesion and probe") for _ in range(2)
    ]
    for row in rows:  # the CPU against itself in float32
        assert row[4] < (1e-6 if row[3].startswith("float32") else 1e-2), row
    text = (tmp_path / "gpu.md").read_text()
    assert "CPUExecutionProvider" in text.splitlines()[2]
    assert all(f"(`{name}`, " in text for name in parts)


def test_a_part_that_fails_says_why_and_one_that_hangs_is_ended(tmp_path: Path) -> None:
    settings = Settings("cpu", True, tmp_path / "models")
    failed = processes.run("cost", settings, LIMIT, tmp_path)
    assert failed.failure is not None
    assert failed.failure.startswith(f"exit code 1: RuntimeError: no models in {tmp_path / 'models'}")
    hung = processes.run("machine", settings, 0.01, tmp_path)
    assert hung.failure is not None
    assert hung.failure.startswith("took longer than")


def test_a_contender_that_fails_drops_out_with_the_reason() -> None:
    calls = iter(range(5))  # enough for the warm-up and the first turns

    def refuse() -> Run:
        raise ValueError("no such device")

    contenders: dict[str, Callable[[], Run]] = {
        "well": lambda: lambda: None,
        "ill": lambda: lambda: next(calls),
        "none": refuse,
    }
    race = Race(contenders, 3, 0.0)
    assert race.seconds("well") is not None
    assert race.seconds("ill") is race.rate("none", 1) is race.ratio("ill", "well") is None
    assert race.failures["ill"].startswith("StopIteration")
    assert race.failures["none"] == "ValueError: no such device"
