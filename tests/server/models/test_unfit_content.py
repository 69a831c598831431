"""Content that is not fit to be served leaves the old version serving."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from resprobe_server.models.states import State

from tests.support.model_table import table
from tests.support.nets import publish_net, small_net
from tests.support.repositories import no_graph


def net_of_other_biases(root: Path) -> Path:
    net = small_net()
    publish_net(net, root, "one")
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, 0, 2)
    return publish_net(net, root, "two")


def without_digests(version: Path) -> None:
    """Removes the digests, which test_digests.py tests."""
    model = json.loads((version / "model.json").read_text())
    del model["provenance"]["graphSha256"], model["provenance"]["weightsSha256"]
    (version / "model.json").write_text(json.dumps(model))


def not_finite(version: Path, _: Path) -> None:
    size = (version / "weights.bin").stat().st_size
    (version / "weights.bin").write_bytes(b"\xff" * size)


def short(version: Path, _: Path) -> None:
    weights = (version / "weights.bin").read_bytes()
    (version / "weights.bin").write_bytes(weights[: len(weights) // 2])


def other_classes(version: Path, _: Path) -> None:
    model = json.loads((version / "model.json").read_text())
    model["classes"].pop()
    (version / "model.json").write_text(json.dumps(model))


def other_blocks(version: Path, _: Path) -> None:
    model = json.loads((version / "model.json").read_text())
    model["blocks"].pop()
    (version / "model.json").write_text(json.dumps(model))


def other_net(version: Path, scratch: Path) -> None:
    two = net_of_other_biases(scratch)
    shutil.copytree(scratch / "one" / "1", version, dirs_exist_ok=True)
    shutil.copy(two / "probe.onnx", version)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (no_graph, "model.onnx failed"),
        (not_finite, "model.onnx returns logits that are not finite"),
        (short, "are out of bounds or can not be read in full"),
        (other_classes, "model.onnx returns logits [4, 10]; its description says [4, 9]"),
        (other_blocks, "lesion.onnx takes block_scale [n, 3]; model.json names 2 blocks"),
        (other_net, "probe.onnx is not of the same net as model.onnx: on the same noise their logits"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_content_that_is_not_fit_leaves_the_old_serving(
    root: Path, tmp_path_factory: pytest.TempPathFactory, damage: Callable[[Path, Path], None], reason: str
) -> None:
    async def drive() -> None:
        async with table(root) as (models, health):
            old = models.table.get("digits", "")
            damage(root / "digits" / "1", tmp_path_factory.mktemp("scratch"))
            without_digests(root / "digits" / "1")
            await models.refresh()
            assert models.table.get("digits", "") is old
            (status,) = models.index()
            assert status.state is State.READY
            assert reason in status.reason
            assert models.counts.failed == {"digits": 1}
            assert health.serving == {"digits": True}
            await models.refresh()  # the same content is not tried again
            assert models.counts.failed == {"digits": 1}

    asyncio.run(drive())
