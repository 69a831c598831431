"""Checkpoints of other people's making: every spelling is read, and what does not fit is listed."""

import re
from pathlib import Path

import pytest
import torch
from resprobe_exporter.checkpoints import examine, state_dict
from resprobe_exporter.errors import CheckpointError
from resprobe_exporter.nets.resnet import Architecture, ResNet
from safetensors.torch import save_file

from tests.support.nets import small_net


def published_spelling(key: str) -> str:
    key = re.sub(r"^stage(\d)\.block(\d+)\.", r"module.layer\1.\2.", key)
    key = key.replace(".shortcut.conv.", ".shortcut.0.").replace(".shortcut.bn.", ".shortcut.1.")
    return key if key.startswith("module.") else f"module.{key}"


def torchvision_spelling(key: str) -> str:
    key = re.sub(r"^stage(\d)\.block(\d+)\.", r"layer\1.\2.", key)
    key = key.replace(".shortcut.conv.", ".downsample.0.").replace(".shortcut.bn.", ".downsample.1.")
    return key.replace("linear.", "fc.")


@pytest.mark.parametrize("spelling", [str, published_spelling, torchvision_spelling], ids=lambda f: f.__name__)
@pytest.mark.parametrize("suffix", [".th", ".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("wrapped", [None, "state_dict", "model"])
def test_every_form_gives_the_same_net(tmp_path: Path, spelling: object, suffix: str, wrapped: str | None) -> None:
    source = small_net(shortcut="B")
    path = tmp_path / f"net{suffix}"
    tensors = {spelling(key): value for key, value in source.state_dict().items()}  # type: ignore[operator]
    if suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors if wrapped is None else {wrapped: tensors, "epoch": 3}, path)
    net, weights = ResNet(source.architecture), state_dict.read(path)
    state_dict.fill(net, weights)
    image = torch.randn(2, 1, 8, 8)
    assert torch.equal(net.eval()(image), source(image))
    assert examine.examine(weights) == examine.ExaminedNet("resnet", 8, "B", 1, 10)


def test_what_does_not_fit_is_listed_and_nothing_changes(tmp_path: Path) -> None:
    tensors = dict(small_net(depth=14).state_dict())
    del tensors["linear.bias"]
    tensors["conv1.weight"] = torch.zeros(16, 3, 3, 3)
    net = ResNet(Architecture(depth=8, height=8, width=8, channels=1))
    before = [parameter.clone() for parameter in net.parameters()]
    torch.save(tensors, tmp_path / "net.pt")
    with pytest.raises(CheckpointError) as caught:
        state_dict.fill(net, state_dict.read(tmp_path / "net.pt"))
    text = str(caught.value)
    assert "does not fit resnet of depth 8" in text
    assert "1 missing: linear.bias" in text
    assert re.search(r"30 unexpected: stage1\.block1\.bn1\.bias, (\S+, ){8}\S+ and 20 more", text)
    assert "1 of another shape: conv1.weight [16, 3, 3, 3], expected [16, 1, 3, 3]" in text
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.bin", b"", "expected a file that ends in .th, .pt, .pth, .ckpt, .tar, .safetensors"),
        ("net.pt", None, "cannot be read: No such file"),
        ("net.pt", b"hello", "PyTorch can read: torch.save did not write it, or it is damaged$"),
        (
            "net.pt",
            b"",
            "not a checkpoint of tensors that PyTorch can read: torch.save did not write it, or it is damaged$",
        ),
        ("net.pt", b"PK\x03\x04", "not a checkpoint of tensors that PyTorch can read: [^.]+$"),
        ("net.safetensors", b"hello", "is not a safetensors file"),
        ("net.safetensors", None, "cannot be read"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        state_dict.read(path)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {"a": "b"}}], ids=str)
def test_a_file_without_a_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        state_dict.read(tmp_path / "net.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (marker,)

    torch.save({"state_dict": Bomb()}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of tensors"):
        state_dict.read(tmp_path / "net.pt")
    assert not marker.exists()
