"""Weights in whatever wraps them: each wrapper gives the same net, and what may be meant in two ways is refused."""

import argparse
import random
import re
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resprobe_exporter.checkpoints import examine, state_dict, wrappers
from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.nets.resnet import ResNet
from safetensors.torch import save_file

from tests.support.nets import small_net

NET = small_net()
BESIDE: dict[str, Any] = {
    "epoch": 3,
    "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
    "lr_schedulers": [{"last_epoch": 1}],
    "hyper_parameters": {"lr": 0.1},
    "pytorch-lightning_version": "2.0",
    "best_acc": 91.7,
    "rng": torch.zeros(3),
}
CONTAINERS = ("state_dict", "model", "net", "model_state_dict", "weights", "generator", "params")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.")


def prefixed(prefix: str, net: ResNet = NET) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in net.state_dict().items()}


def spoiled() -> ResNet:
    net = small_net()
    torch.nn.init.zeros_(net.linear.weight)
    return net


def assert_same(weights: state_dict.Weights) -> None:
    assert examine.examine(weights) == examine.ExaminedNet("resnet", 8, "A", 1, 10)
    net = ResNet(NET.architecture)
    state_dict.fill(net, weights)
    for name, value in NET.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(net.state_dict()[name], value), name


@given(
    prefixes=st.lists(st.sampled_from(PREFIXES), max_size=4),
    containers=st.lists(st.sampled_from(CONTAINERS), max_size=3),
    beside=st.lists(st.sampled_from(sorted(BESIDE)), max_size=4),
    spelling=st.booleans(),
    wrapped_inside=st.booleans(),
    counted=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_wrapper_gives_the_same_net(
    tmp_path: Path,
    prefixes: list[str],
    containers: list[str],
    beside: list[str],
    spelling: bool,
    wrapped_inside: bool,
    counted: bool,
    dtype: torch.dtype,
    seed: int,
) -> None:
    prefix = "".join(prefixes)
    tensors = [(key, value) for key, value in NET.state_dict().items()]
    random.Random(seed).shuffle(tensors)
    content: dict[str, Any] = OrderedDict()
    for key, value in tensors:
        if spelling:
            key = re.sub(r"^stage(\d)\.block(\d+)\.", r"layer\1.\2.", key).replace("linear.", "fc.")
        if wrapped_inside:  # as when only some modules were compiled
            key = re.sub(r"^((?:layer|stage)2\.\w+)\.", r"\1._orig_mod.", key)
        content[prefix + key] = value.to(dtype) if value.is_floating_point() else value
    if counted:
        content["n_averaged"] = torch.tensor(5)
    for key in containers:
        content = {**{name: BESIDE[name] for name in beside}, key: content}
    path = tmp_path / "net.pth"
    torch.save(content, path)
    weights = state_dict.read(path)
    assert_same(weights)
    assert weights.state.averaged == counted


@pytest.mark.parametrize(
    ("content", "listed"),
    [
        ({"state_dict": "raw", "state_dict_ema": "ema"}, "state_dict (raw), state_dict_ema (EMA)"),
        ({"model": "raw", "model_ema": {"n_averaged": torch.tensor(3), "x": "ema"}}, "model (raw), model_ema (EMA)"),
        ({"state_dict": {"model.": "raw", "ema_model.module.": "ema"}}, "state_dict.model (raw), state_dict.ema_model"),
        ({"": "raw", "module.ema.": "ema"}, "all of the file (raw), ema (EMA)"),
        ({"nets": ["raw", "ema"]}, "nets.0 (raw), nets.1 (raw)"),
        ({"student": "raw", "swa_model": {"module.": "ema", "n_averaged": torch.tensor(1)}}, "swa_model (EMA)"),
    ],
    ids=str,
)
def test_several_nets_in_a_file(tmp_path: Path, content: dict[str, Any], listed: str) -> None:
    def build(value: Any) -> Any:
        if isinstance(value, str):
            return prefixed("", NET if value == "ema" else spoiled())
        if isinstance(value, list):
            return [build(one) for one in value]
        if not isinstance(value, dict):
            return value
        flat: dict[str, Any] = {}
        for key, one in value.items():
            if key == "" or key.endswith(".") or key == "x":
                flat |= prefixed(key.removesuffix("x"), NET if one == "ema" else spoiled())
            else:
                flat[key] = build(one)
        return flat

    path = tmp_path / "net.pth"
    torch.save(build(content), path)
    with pytest.raises(CheckpointError, match="holds the weights of several nets") as refused:
        state_dict.read(path)
    assert listed in str(refused.value)
    assert "--weights ema, raw or KEY" in str(refused.value)
    if "nets" not in content:
        assert_same(state_dict.read(path, "ema"))
        raw = state_dict.read(path, "raw")
        assert not raw["linear.weight"].any()
    found = wrappers.find(torch.load(path))
    assert_same(state_dict.read(path, found[1].name))
    with pytest.raises(CheckpointError, match=r"--weights nonsense is none of the weights in .*raw"):
        state_dict.read(path, "nonsense")


def test_ema_is_not_made_up(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"state_dict": prefixed("")}, path)
    with pytest.raises(CheckpointError, match=r"--weights ema is none of the weights in \S+: state_dict \(raw\)"):
        state_dict.read(path, "ema")
    assert_same(state_dict.read(path, "raw"))
    save_file(prefixed("_orig_mod."), tmp_path / "net.safetensors")
    assert_same(state_dict.read(tmp_path / "net.safetensors"))


def test_tensors_beside_the_net_are_named(tmp_path: Path) -> None:
    path = tmp_path / "net.ckpt"
    torch.save({"state_dict": {**prefixed("model."), "criterion.weight": torch.ones(10)}}, path)
    weights = state_dict.read(path)
    assert weights.state.left_out == ("criterion.weight",)
    assert_same(weights)
    torch.save({"state_dict": {**prefixed("model."), "model.attention.weight": torch.ones(10)}}, path)
    with pytest.raises(CheckpointError, match=r"1 unexpected: model\.attention\.weight"):
        state_dict.fill(ResNet(NET.architecture), state_dict.read(path))
    torch.save({**prefixed(""), "module.conv1._orig_mod.weight": torch.ones(1), **prefixed("module.")}, path)
    with pytest.raises(CheckpointError, match=r"several nets"):
        state_dict.read(path)


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"args": argparse.Namespace(lr=0.1)}, r"it holds an object of Namespace \(argparse.Namespace\)"),
        ({"args": SimpleNamespace(lr=0.1)}, r"it holds an object of SimpleNamespace"),
        ({"best": np.float64(0.9)}, r"it holds a NumPy value \(numpy\S+scalar\)"),
        ({"model": torch.nn.Sequential(torch.nn.Linear(2, 2))}, r"it holds a whole net \(torch.nn.modules.container"),
        ({"from": Path("x")}, r"it holds an object of \w*Path"),
    ],
    ids=["Namespace", "SimpleNamespace", "NumPy", "net", "Path"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_objects_are_named_and_not_made(tmp_path: Path, beside: dict[str, Any], message: str, zipped: bool) -> None:
    path = tmp_path / "net.pth"
    torch.save({"state_dict": prefixed(""), **beside}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=message) as refused:
        state_dict.read(path)
    assert "save the weights alone" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), r"layer2\.0\.bn1\.running_var has 1 of 32 values that are not finite numbers"),
        (float("inf"), r"layer2\.0\.bn1\.running_var has 1 of 32 values"),
        (1e300, r"layer2\.0\.bn1\.running_var has 1 of 32 values"),  # a double that float32 cannot hold
        (None, r"layer2\.0\.bn1\.running_var is int32; expected floats"),
    ],
)
def test_values_that_are_no_weights(tmp_path: Path, value: float | None, message: str) -> None:
    tensors = {re.sub(r"^stage(\d)\.block(\d+)\.", r"layer\1.\2.", key): one for key, one in prefixed("").items()}
    wrong = tensors["layer2.0.bn1.running_var"].double().clone()
    if value is not None:
        wrong[3] = value
    tensors["layer2.0.bn1.running_var"] = wrong.int() if value is None else wrong
    torch.save(tensors, tmp_path / "net.pt")
    net = ResNet(NET.architecture)
    with pytest.raises(CheckpointError, match=message):
        state_dict.fill(net, state_dict.read(tmp_path / "net.pt"))


def test_half_precision_is_taken_exactly(tmp_path: Path) -> None:
    half = {key: value.half() if value.is_floating_point() else value for key, value in prefixed("").items()}
    torch.save(half, tmp_path / "net.pt")
    net = ResNet(NET.architecture)
    state_dict.fill(net, state_dict.read(tmp_path / "net.pt"))
    assert torch.equal(net.conv1.weight, half["conv1.weight"].float())


def renamed(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    tensors: dict[str, Any] = prefixed("") | {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in tensors.items() if value is not None}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            renamed(stage4__block0__conv1__weight=torch.ones(1)),
            r"lacks stage4\.block0\.conv2\.weight; it holds bn1\.bias",
        ),
        (
            renamed(stage2__block1__conv1__weight=torch.ones(1)),
            "holds 3 stages of 1, 2 and 1 blocks, which no published net has",
        ),
        (
            renamed(stage1__block0__conv3__weight=torch.ones(1)),
            r"stage1\.block0\.conv3\.weight is \[1\]; expected 4 dim",
        ),
        (renamed(conv1__weight=torch.ones(64, 3, 7, 7)), "holds a 7x7 stem of 64 channels and stages of 16, 32, 64"),
        (renamed(stage3__block0__conv2__weight=torch.ones(640, 640, 3, 3)), "stages of 16, 32, 640"),
        (renamed(linear__weight=None), "lacks linear.weight"),
        ({"linear.bias": torch.ones(10)}, "holds no blocks"),
    ],
    ids=range(7),
)
def test_other_nets_are_refused_as_what_they_are(tmp_path: Path, tensors: dict[str, Any], message: str) -> None:
    torch.save(tensors, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=message):
        examine.examine(state_dict.read(tmp_path / "net.pt"))


@pytest.mark.parametrize("family", ["resnet", "preact"])
@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
@pytest.mark.parametrize("depth", [8, 20])
def test_a_net_is_read_off_its_names(tmp_path: Path, family: str, shortcut: str, depth: int) -> None:
    torch.save(small_net(family, shortcut, 8, 3, depth).state_dict(), tmp_path / "net.pt")
    found = examine.examine(state_dict.read(tmp_path / "net.pt"))
    assert found == examine.ExaminedNet(family, depth, shortcut, 3, 10)  # type: ignore[arg-type]
