"""The smallest real things: nets that were really exported, and a server that really listens."""

import resprobe_server  # isort: skip  # noqa: F401  # first: it says how gRPC reads from connections

import asyncio
import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import resprobe
import structlog
import torch
from hypothesis import settings
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.readouts.images import TrainingImages
from resprobe_exporter.training import data, trainer
from resprobe_exporter.versions.candidate import Origin
from resprobe_exporter.versions.net_candidate import net_candidate
from resprobe_exporter.versions.test_set import LabelledImages
from resprobe_exporter.versions.writer import write_version
from resprobe_server.app import serve
from resprobe_server.config import Config

from tests.support.commands import COMMANDS, Run
from tests.support.nets import publish_cut, publish_int8, publish_net, small_net
from tests.support.servers import Loop, Serve

settings.register_profile("untimed", deadline=None)  # timing decides nothing
settings.load_profile("untimed")
# The log of servers in this process; what it says is tested where a server has a process of its own.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(scope="session")
def digits() -> data.Data:
    return data.load("digits")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory, digits: data.Data) -> Path:
    """Three models: `digits`, trained for two epochs, in two versions; `plain`; and `colour`, 12×12 RGB."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    net = ResNet(Architecture(depth=8, height=8, width=8, channels=1))
    trainer.train(net, digits, trainer.Recipe(epochs=2), 0, lambda _: None)
    images = digits.test.images.permute(0, 2, 3, 1).contiguous().numpy()
    test_set = LabelledImages("digits", images, digits.test.labels.numpy(), digits.classes)
    preprocessing, origin = Preprocessing(digits.mean, digits.std), Origin("trained here", 0, 2)
    write_version(net_candidate(net, preprocessing, digits.classes, origin, test_set), root, "digits")
    shutil.copytree(root / "digits" / "1", root / "digits" / "2")
    publish_net(small_net("plain"), root, "plain")
    publish_net(small_net(size=12, channels=3), root, "colour")
    return root


@pytest.fixture(scope="session")
def quantised(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two models: `digits`, version 1, and `digits-int8`, made of it."""
    root = tmp_path_factory.mktemp("quantised")
    shutil.copytree(repository / "digits" / "1", root / "digits" / "1")
    publish_int8(root, "digits")
    return root


@pytest.fixture(scope="session")
def cut(tmp_path_factory: pytest.TempPathFactory, digits: data.Data) -> Path:
    """A repository with two models: `cut`, where images may leave early after two of its six blocks, and `whole`."""
    root = tmp_path_factory.mktemp("cut")
    images = digits.train.images.permute(0, 2, 3, 1).contiguous().numpy()[:200]
    training = TrainingImages("digits", images, digits.train.labels.numpy()[:200], digits.classes, 0)
    publish_cut(root, "cut", training, ["stage2.block0", "stage2.block1"])
    publish_net(small_net(), root, "whole")
    return root


@pytest.fixture(scope="session")
def start() -> Serve:
    """A function that starts a server with a repository and options; its context gives the address."""

    @contextmanager
    def run(repository: Path, at: str = "127.0.0.1:0", **options: object) -> Iterator[str]:
        config = Config(repository, address=at, **options)  # type: ignore[arg-type]
        thread, context = Loop(), serve(config)
        try:
            port = asyncio.run_coroutine_threadsafe(context.__aenter__(), thread.loop).result()
            try:
                yield f"127.0.0.1:{port}"
            finally:
                asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), thread.loop).result()
        finally:
            thread.close()

    return run


@pytest.fixture(scope="session")
def address(start: Serve, repository: Path) -> Iterator[str]:
    """Of a server that all tests share."""
    with start(repository, max_batch=8) as where:
        yield where


@pytest.fixture
def client(address: str) -> Iterator[resprobe.Client]:
    with resprobe.Client(address) as connected:
        yield connected


@pytest.fixture(scope="session")
def test_images(digits: data.Data) -> np.ndarray:
    """uint8 [360, 8, 8, 1]."""
    images: np.ndarray = digits.test.images.permute(0, 2, 3, 1).contiguous().numpy()
    return images


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "150")

    def call(prog: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [prog, *arguments])
        try:
            COMMANDS[prog][0]()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
