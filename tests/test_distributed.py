"""Two real processes under torchrun: the weights of one, written once; and if one fails, all end."""

import json
import subprocess
import sys
from pathlib import Path

import torch

BUILD = ["-m", "resprobe_exporter", "build", "--depth", "8", "--recipe", "paper", "--epochs", "1", "--json"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
FAILING = """
import torch
from resprobe_exporter import data, distributed, train
from resprobe_exporter.resnet import Architecture, ResNet

with distributed.join(torch.device("cpu")) as world:
    def report(progress):
        if world.rank == 1 and progress.step == 3:
            raise SystemExit("one is enough")
    net = ResNet(Architecture(depth=8, height=8, width=8, channels=1))
    train.train(net, data.load("digits"), train.Recipe(10_000), 0, report, options=train.Options(world))
"""


def test_two_processes_train_the_net_of_one(tmp_path: Path) -> None:
    weights, results = [], []
    for place, start in (("one", [sys.executable]), ("two", TORCHRUN)):
        directory = tmp_path / place
        command = [*start, *BUILD, "--repository", str(directory / "models"), "--checkpoint", str(directory / "run")]
        done = subprocess.run(
            [*command, "--log-file", str(tmp_path / "log")], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))  # one process prints
        weights.append(torch.load(directory / "run" / "training.pt", weights_only=True)["state"]["net"])
        assert [path.name for path in (directory / "models" / "resnet8").iterdir()] == ["1"]
    assert results[0]["accuracy"] == results[1]["accuracy"]
    for name, one in weights[0].items():
        torch.testing.assert_close(weights[1][name], one, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: name + text)
    starts = [line for line in map(json.loads, (tmp_path / "log").read_text().splitlines()) if line["event"] == "start"]
    assert [line["processes"] for line in starts] == [1, 2]


def test_if_one_process_fails_all_end(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    done = subprocess.run([*TORCHRUN, str(tmp_path / "failing.py")], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "one is enough" in done.stderr
