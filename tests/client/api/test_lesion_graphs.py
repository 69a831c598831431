"""Lesion graphs: every factor reaches its own image and block, and nothing else."""

import asyncio
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import resprobe
from hypothesis import given, settings
from hypothesis import strategies as st
from resprobe import datasets
from resprobe_exporter.checkpoints.state_dict import fill, read
from resprobe_exporter.errors import CheckFailed
from resprobe_exporter.graph.torch_export import Served
from resprobe_exporter.nets.blocks import Addition
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.verification import verify
from resprobe_exporter.verification.expected_torch import TorchOracle
from resprobe_exporter.versions.candidate import Origin
from resprobe_exporter.versions.net_candidate import net_candidate
from resprobe_exporter.versions.writer import write_version
from resprobe_server.execution.providers import Provider
from resprobe_server.execution.session import Session
from resprobe_server.scheduling.batcher import BatchOptions
from resprobe_server.scheduling.worker import Device
from torch import Tensor, from_numpy, nn

from tests.support.nets import publish_net, small_net
from tests.support.servers import Serve

Pixels = npt.NDArray[np.uint8]


def open_graph(directory: Path, file: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(directory / file, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("family", "shortcut"), [("resnet", "A"), ("resnet", "C"), ("preact", "A"), ("preact", "B")])
def test_any_factor_is_pytorchs_branch_times_it(tmp_path: Path, family: str, shortcut: str) -> None:
    net = small_net(family, shortcut, size=7)
    directory = publish_net(net, tmp_path, "net")  # which checks intact nets and single removals
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (5, 7, 7, 1), dtype=np.uint8)
    scale = generator.uniform(-1, 2, (5, 3)).astype(np.float32)
    columns = iter(from_numpy(scale).double().T)
    branches = []

    def multiply(_module: nn.Module, operands: tuple[Tensor, Tensor], _total: Tensor) -> Tensor:
        branch, shortcut_ = operands
        branches.append(branch.detach().flatten(1).norm(dim=1).numpy())
        scaled: Tensor = next(columns).view(-1, 1, 1, 1) * branch + shortcut_
        return scaled

    for module in net.modules():
        if isinstance(module, Addition):
            module.register_forward_hook(multiply)
    expected = Served(net.double(), (0.4,), (0.3,))(from_numpy(images)).detach().numpy()
    inputs = {"image": images, "block_scale": scale}
    (logits,) = open_graph(directory, "lesion.onnx").run(None, inputs)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    logits, blocks = open_graph(directory, "lesion_probe.onnx").run(None, inputs)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(blocks[..., 0], np.stack(branches, axis=1), rtol=1e-4)  # before it is scaled


def test_a_graph_that_removes_another_block_is_caught(tmp_path: Path) -> None:
    net = small_net()
    directory = publish_net(net, tmp_path, "net")
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
    oracle = TorchOracle(net, Preprocessing((0.4,), (0.3,)), images)
    for file, message in (
        (
            "lesion_probe.onnx",
            r"lesion_probe\.onnx and lesion\.onnx differ: number \d of image \d with random factors is",
        ),
        (
            "lesion.onnx",
            r"lesion\.onnx and PyTorch differ: number \d of image 0 without stage[23]\.block0 is \S+ and \S+ ",
        ),
    ):
        model = onnx.load(directory / file, load_external_data=False)
        split = next(node for node in model.graph.node if node.op_type == "Split")
        split.output[1], split.output[2] = split.output[2], split.output[1]
        onnx.save(model, directory / file)
        with pytest.raises(CheckFailed, match=message):
            verify.check(oracle.reference(directory), directory)


@pytest.fixture(scope="module")
def sessions(repository: Path) -> tuple[Session, Session]:
    directory = repository / "digits" / "1"
    return Session(directory / "lesion.onnx", Provider(threads=1)), Session(
        directory / "lesion_probe.onnx", Provider(threads=1)
    )


REQUESTS = st.lists(st.tuples(st.integers(1, 13), st.booleans(), st.integers(0, 2**32 - 1)), min_size=1, max_size=12)


@given(requests=REQUESTS, max_batch=st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_every_row_is_scaled_by_its_own_factors(
    sessions: tuple[Session, Session], test_images: Pixels, requests: list[tuple[int, bool, int]], max_batch: int
) -> None:
    async def drive() -> None:
        async with Device() as device:
            batchers = [device.batcher(session, BatchOptions(max_batch, 10**6)) for session in sessions]
            sent = []
            for count, with_blocks, seed in requests:
                generator = np.random.default_rng(seed)
                inputs: dict[str, npt.NDArray[Any]] = {
                    "block_scale": generator.choice([0, 1, 0.5, -2], (count, 3)).astype(np.float32),
                    "image": test_images[generator.integers(0, 360, count)],
                }
                sent.append((batchers[with_blocks].submit(inputs, math.inf), inputs, with_blocks))
            for future, inputs, with_blocks in sent:
                outcome = await future
                expected = sessions[with_blocks].run(inputs)
                assert outcome.results.arrays.keys() == expected.keys()
                for name, array in expected.items():
                    found = outcome.output(name).astype(float)
                    np.testing.assert_allclose(found, array.astype(float), rtol=1e-3, atol=1e-3)

    asyncio.run(drive())


@pytest.mark.skipif("RESPROBE_TEST_DATA" not in os.environ, reason="needs RESPROBE_TEST_DATA")
@pytest.mark.long
def test_the_published_resnet_56_without_single_blocks(start: Serve, tmp_path: Path) -> None:
    root = Path(os.environ["RESPROBE_TEST_DATA"])
    (path,) = (root / "checkpoints").glob("resnet56-*.th")
    dataset = datasets.load("cifar10", root / "data", "test").head(1000)
    assert isinstance(dataset.images, np.ndarray)
    net = ResNet(Architecture(depth=56))
    fill(net, read(path))
    preprocessing = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    write_version(net_candidate(net, preprocessing, dataset.classes, Origin("test")), tmp_path, "net")
    with start(tmp_path) as address, resprobe.Client(address) as client:
        for block, accuracy in ((7, 0.851), (9, 0.745)):
            scale = np.arange(27) != block
            result = client.classify(dataset.images, block_scale=scale, top_k=1, timeout=None)
            assert (result.classes[:, 0] == dataset.labels).mean() == pytest.approx(accuracy, abs=1e-9)
