"""The smallest real things: nets that were really exported, and a server that really listens."""

import resprobe_server  # isort: skip  # noqa: F401  # first: it says how gRPC reads from connections

import asyncio
import logging
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
import structlog
import torch
from hypothesis import settings
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import data, trainer
from resprobe_exporter.versions import metadata
from resprobe_exporter.versions.writer import LabelledImages, Preprocessing, publish
from resprobe_server.app import serve
from resprobe_server.config import Config
from resprobe_server.rpc.server import Server

Serve = Callable[..., AbstractContextManager[str]]


settings.register_profile("untimed", deadline=None)  # timing decides nothing
settings.load_profile("untimed")
# The log of servers in this process; what it says is tested where a server has a process of its own.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(scope="session")
def digits() -> data.Data:
    return data.load("digits")


def small_net(family: str = "resnet", shortcut: str = "A", size: int = 8, channels: int = 1, depth: int = 8) -> ResNet:
    """A net whose batch norms have seen numbers, so that no two blocks are alike."""
    torch.manual_seed(1)
    shape = Architecture(family, depth, shortcut, size, size, channels, 10)  # type: ignore[arg-type]
    net = ResNet(shape)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def publish_net(net: ResNet, root: Path, name: str, test_set: LabelledImages | None = None) -> Path:
    """Writes a net as a new version."""
    channels = net.architecture.channels
    preprocessing = Preprocessing((0.4,) * channels, (0.3,) * channels)
    labels = tuple(f"class{index}" for index in range(net.architecture.classes))
    origin = metadata.Origin("test")
    return publish(net, preprocessing, labels, origin, test_set, root, name, lambda _: None)[1]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory, digits: data.Data) -> Path:
    """Three models: `digits`, trained for two epochs, in two versions; `plain`; and `colour`, 12×12 RGB."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    net = ResNet(Architecture(depth=8, height=8, width=8, channels=1))
    trainer.train(net, digits, trainer.Recipe(epochs=2), 0, lambda _: None)
    images = digits.test.images.permute(0, 2, 3, 1).contiguous().numpy()
    test_set = LabelledImages("digits", images, digits.test.labels.numpy(), digits.classes)
    publish(
        net,
        Preprocessing(digits.mean, digits.std),
        digits.classes,
        metadata.Origin("trained here", 0, 2),
        test_set,
        root,
        "digits",
        lambda _: None,
    )
    shutil.copytree(root / "digits" / "1", root / "digits" / "2")
    publish_net(small_net("plain"), root, "plain")
    publish_net(small_net(size=12, channels=3), root, "colour")
    return root


class Loop:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


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


def run_server(
    add: Callable[[Server], None], ask: Callable[[Any, Server], Awaitable[None]], stops: bool = True, gates: Any = ()
) -> Server:
    """Serves what `add` adds to what `ask` does with a channel; returns the server."""

    async def main() -> Server:
        server = Server(gates=gates)
        add(server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                await ask(channel, server)
            finally:
                if stops:
                    await server.stop(10)
        assert not server.running
        return server

    return asyncio.run(main())
