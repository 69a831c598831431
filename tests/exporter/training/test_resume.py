"""A training run that was stopped by an error or by SIGKILL resumes to the same weights as one that was not."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import data, trainer
from resprobe_exporter.training.recipes import OneCycle, Recipe, SlowStart, StepDecay
from resprobe_exporter.training.training_checkpoint import Checkpoints, describe_run

from tests.support.resumed import FAST, State, run

SLOW = Recipe(epochs=3, batch_size=64, schedule=StepDecay(), slow_start=SlowStart(depth=8, error=0.5))


class Stop(Exception):
    """Ends a run in the middle."""


@pytest.fixture(scope="module")
def few(digits: data.Data) -> data.Data:
    return replace(digits, train=data.Part(digits.train.images[:640], digits.train.labels[:640]))


def assert_equal(first: State, second: State) -> None:
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("recipe", [FAST, SLOW], ids=["one cycle", "slow start"])
@pytest.mark.parametrize("stop", [1, 14, 20], ids=lambda step: f"step {step}")
def test_a_stopped_run_resumes_to_the_same_weights(few: data.Data, tmp_path: Path, recipe: Recipe, stop: int) -> None:
    def interrupt(progress: trainer.Progress) -> None:
        if progress.step == stop + 1:
            raise Stop

    whole, rest = list[trainer.Progress](), list[trainer.Progress]()
    expected = run(few, recipe, report=whole.append)
    with pytest.raises(Stop):
        run(few, recipe, checkpoints=Checkpoints(tmp_path, seconds=0), report=interrupt)
    found = run(few, recipe, checkpoints=Checkpoints(tmp_path, resume=True), report=rest.append)
    assert_equal(expected, found)
    assert [p.step for p in rest] == list(range(stop + 1, 31))
    assert [(p.loss, p.learning_rate) for p in rest] == [(p.loss, p.learning_rate) for p in whole[stop:]]


def test_a_finished_run_has_nothing_left_to_do(few: data.Data, tmp_path: Path) -> None:
    expected = run(few, checkpoints=Checkpoints(tmp_path))  # resuming is allowed where there is nothing yet
    steps: list[trainer.Progress] = []
    assert_equal(expected, run(few, checkpoints=Checkpoints(tmp_path, resume=True), report=steps.append))
    assert steps == []
    assert [path.name for path in tmp_path.iterdir()] == ["training.pt"]


SCRIPT = """
import sys, torch
from dataclasses import replace
from pathlib import Path
from resprobe_exporter.training import data, trainer
from resprobe_exporter.training.training_checkpoint import Checkpoints
from tests.support.resumed import FAST, run
torch.set_num_threads(int(sys.argv[2]))
digits = data.load("digits")
few = replace(digits, train=data.Part(digits.train.images[:640], digits.train.labels[:640]))
checkpoints = Checkpoints(Path(sys.argv[1]), resume=True, seconds=0)
run(few, FAST, checkpoints=checkpoints, report=lambda progress: print(progress.step, flush=True))
"""


def test_the_checkpoint_of_a_killed_run_is_whole(few: data.Data, tmp_path: Path) -> None:
    directory = tmp_path / "checkpoint"
    command = [sys.executable, "-c", SCRIPT, str(directory), str(torch.get_num_threads())]
    for last in (9, 23):  # the second resumes from the first
        with subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) == last:
                    process.kill()  # while the step's checkpoint is being written, or just before or after
        assert process.returncode == -9
    steps: list[int] = []
    found = run(few, checkpoints=Checkpoints(directory, resume=True), report=lambda p: steps.append(p.step))
    assert 23 <= steps[0] < 30
    assert_equal(run(few), found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 14}, "was written with net.depth = 8; this run has 14"),
        ({"recipe": replace(FAST, momentum=0.8)}, "was written with recipe.momentum = 0.9; this run has 0.8"),
        ({"recipe": replace(FAST, schedule=OneCycle(0.2))}, "with recipe.schedule.warmup = 0.15; this run has 0.2"),
        ({"recipe": replace(FAST, schedule=StepDecay())}, "with recipe.schedule.kind = OneCycle; this run has StepDec"),
        ({"seed": 1}, "was written with seed = 0; this run has 1"),
        ({"few": None}, "was written with data.sha256 = "),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_another_runs_checkpoint_is_refused(
    few: data.Data, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    short = replace(FAST, epochs=1)
    run(few, short, checkpoints=Checkpoints(tmp_path))
    if "few" in change:
        change = {"few": replace(few, train=data.Part(few.train.images.flip(0), few.train.labels))}
    arguments: dict[str, object] = {"few": few, "recipe": short} | change
    if isinstance(how := arguments["recipe"], Recipe):
        arguments["recipe"] = replace(how, epochs=1)
    with pytest.raises(CheckpointError) as refused:
        run(**arguments, checkpoints=Checkpoints(tmp_path, resume=True))  # type: ignore[arg-type]
    assert message in str(refused.value)


def test_a_checkpoint_is_not_overwritten_unasked(few: data.Data, tmp_path: Path) -> None:
    run(few, replace(FAST, epochs=1), checkpoints=Checkpoints(tmp_path))
    with pytest.raises(CheckpointError, match=r"training.pt exists: resume from it with --resume, or remove it"):
        Checkpoints(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x02}q\x00."], ids=["empty", "text", "another pickle"])
def test_files_that_are_not_checkpoints_are_refused(few: data.Data, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "training.pt").write_bytes(content)
    net = ResNet(Architecture(depth=8, height=8, width=8, channels=1))
    with pytest.raises(CheckpointError, match="is not a checkpoint of a training run"):
        Checkpoints(tmp_path, resume=True).load(describe_run(net, few, FAST, 0))


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file/here cannot be made: Not a directory"):
        Checkpoints(tmp_path / "file" / "here")
