"""Logs of a training run for programs: JSON lines and TensorBoard."""

import json
from pathlib import Path

import pytest
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.training import loggers
from resprobe_exporter.training.trainer import Layers, Progress, Score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STEP = Progress(0, 1, 4, 2.3, 0.1, 100.0, 1.0, 0.05, False)
RECORDED = Progress(
    0, 2, 4, 2.2, 0.2, 100.0, 1.0, 0.1, False, None, Layers({"conv1": 0.5}, {"conv1": 1.5}, {"b": 0.25})
)
LAST = Progress(0, 4, 4, 2.0, 0.3, 100.0, 0.0, 0.0, True, Score(1.75, 0.5))


def test_json_lines_hold_the_start_and_the_recorded_steps(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    for _ in range(2):  # a resumed run appends to the same file
        with loggers.json_lines(path, {"seed": 3}) as report:
            for progress in (STEP, RECORDED, LAST):
                report(progress)
            assert path.read_text().endswith("\n")  # a program that follows the file sees whole lines
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "progress", "progress"] * 2
    assert lines[0] == {"event": "start", "seed": 3}
    assert lines[1]["layers"]["gradient_norms"] == {"conv1": 0.5}
    assert (lines[2]["step"], lines[2]["validation"]) == (4, {"loss": 1.75, "accuracy": 0.5})


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ExporterError, match=r"nowhere/x cannot be written: No such file"),
        loggers.json_lines(tmp_path / "nowhere" / "x", {}),
    ):
        pass


def test_tensorboard_holds_the_recorded_steps(tmp_path: Path) -> None:
    with loggers.tensorboard(tmp_path) as report:
        for progress in (STEP, RECORDED, LAST):
            report(progress)
    events = EventAccumulator(str(tmp_path)).Reload()
    found = {name: [(one.step, one.value) for one in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert [step for step, _ in found["loss"]] == [2, 4]
    assert found["gradient_norms/conv1"] == [(2, 0.5)]
    assert found["ratios/b"] == [(2, 0.25)]
    assert found["validation/accuracy"] == [(4, 0.5)]
