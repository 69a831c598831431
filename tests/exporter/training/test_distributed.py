"""Two real processes under torchrun: the weights of one process, written once; if one fails, both end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from resprobe_exporter.training.distributed import WholeBatchNorm
from torch import nn

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
COMPARING = """
import torch
from dataclasses import replace
from resprobe_exporter.training import data, distributed, trainer
from resprobe_exporter.training.recipes import PAPER
from resprobe_exporter.nets.resnet import Architecture, ResNet

digits = data.load("digits", mean="pixel")

def weights(world):
    torch.manual_seed(0)
    net = ResNet(Architecture(depth=8, height=8, width=8, channels=1))
    recipe = replace(PAPER, iterations=4, batch_size=101)  # which two processes cannot halve
    trainer.train(net, digits, recipe, 0, print if world.rank else seen.append, options=trainer.TrainingOptions(world))
    return net.state_dict()

with distributed.join(torch.device("cpu")) as world:
    seen = []
    two = weights(world)
    if world.rank == 0:
        one = weights(distributed.ALONE)
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)
        for first, second in zip(seen[:4], seen[4:], strict=True):
            assert abs(first.loss - second.loss) < 1e-4
            assert first.accuracy == second.accuracy
"""
FAILING = """
import torch
from resprobe_exporter.training import data, distributed, trainer
from resprobe_exporter.nets.resnet import Architecture, ResNet

with distributed.join(torch.device("cpu")) as world:
    def report(progress):
        if world.rank == 1 and progress.step == 3:
            raise SystemExit("one is enough")
    net = ResNet(Architecture(depth=8, height=8, width=8, channels=1))
    trainer.train(net, data.load("digits"), trainer.Recipe(10_000), 0, report, options=trainer.TrainingOptions(world))
"""


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TORCHRUN, *arguments], capture_output=True, text=True, timeout=300)


def test_a_batch_norm_without_running_statistics_is_refused() -> None:
    with pytest.raises(ValueError, match="expected track_running_stats=True"):
        WholeBatchNorm(nn.BatchNorm2d(4, track_running_stats=False))


@pytest.mark.long
def test_two_processes_reach_the_weights_of_one(tmp_path: Path) -> None:
    (tmp_path / "comparing.py").write_text(COMPARING)
    done = torchrun(str(tmp_path / "comparing.py"))
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_a_build_in_two_processes_is_written_once(tmp_path: Path) -> None:
    models, log = tmp_path / "models", tmp_path / "run.jsonl"
    build = ["build", "--depth", "8", "--epochs", "1", "--json", "--repository", str(models), "--log-file", str(log)]
    done = torchrun("-m", "resprobe_exporter", *build)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == "1"  # one process prints
    assert [path.name for path in (models / "resnet8").iterdir()] == ["1"]
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", "progress"]
    assert events[0]["processes"] == 2


@pytest.mark.long
def test_if_one_process_fails_all_end(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    done = torchrun(str(tmp_path / "failing.py"))
    assert done.returncode != 0
    assert "one is enough" in done.stderr
