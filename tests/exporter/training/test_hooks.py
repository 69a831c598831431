"""Hooks: gradient norms, responses and ratios against their definitions."""

import numpy as np
import pytest
import torch
from resprobe_exporter.nets.resnet import ResNet
from resprobe_exporter.training.hooks import Responses, gradient_norms
from torch.nn import functional

from tests.support.nets import small_net


def images(seed: int, count: int = 6) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_gradient_norms_are_those_of_the_weights_in_layer_order() -> None:
    net = small_net(shortcut="B")
    with pytest.raises(ValueError, match="conv1 has no gradient"):
        gradient_norms(net)
    functional.cross_entropy(net(images(0)), torch.arange(6)).backward()  # type: ignore[no-untyped-call]
    norms = gradient_norms(net)
    assert list(norms)[:3] == ["conv1", "stage1.block0.conv1", "stage1.block0.conv2"]
    assert list(norms)[-2:] == ["stage3.block0.shortcut.conv", "linear"]
    assert len(norms) == 8 + 2
    for name, norm in norms.items():
        gradient = net.get_submodule(name).weight.grad
        assert isinstance(gradient, torch.Tensor)
        assert norm == pytest.approx(gradient.double().square().sum().sqrt().item())


def taps(net: ResNet, family: str) -> dict[str, str]:
    """Returns the module whose output is the response of each layer, written by hand."""
    first = "conv1" if family == "preact" else "bn1"
    blocks = [f"stage{stage}.block0" for stage in (1, 2, 3)]
    inner = {f"{block}.conv1": f"{block}.{'bn2' if family == 'preact' else 'bn1'}" for block in blocks}
    outer = {f"{block}.conv2": f"{block}.{'conv2' if family == 'preact' else 'bn2'}" for block in blocks}
    return {"conv1": first} | inner | outer


@pytest.mark.parametrize("family", ["resnet", "plain", "preact"])
def test_responses_are_pooled_over_batches(family: str) -> None:
    net = small_net(family, "C")
    outputs: dict[str, torch.Tensor] = {}
    with torch.no_grad(), Responses(net) as responses:
        net(images(1))
        net(images(2, 3))
    for layer, tap in taps(net, family).items():
        net.get_submodule(tap).register_forward_hook(lambda _m, _i, out, layer=layer: outputs.update({layer: out}))
    operands: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for stage in (1, 2, 3) if family != "plain" else ():
        name = f"stage{stage}.block0"
        add = net.get_submodule(f"{name}.add")
        add.register_forward_hook(lambda _m, pair, _o, name=name: operands.update({name: pair}))
    net(torch.cat([images(1), images(2, 3)]))
    assert sorted(responses.std) == sorted(outputs)
    for layer, output in outputs.items():
        assert responses.std[layer] == pytest.approx(output.double().std(correction=0).item(), rel=1e-5), layer
    assert list(responses.ratios) == list(operands)
    for block, (branch, shortcut) in operands.items():
        expected = branch.double().flatten(1).norm(dim=1) / shortcut.double().flatten(1).norm(dim=1)
        np.testing.assert_allclose(responses.ratios[block], expected.detach().numpy(), rtol=1e-5)


def test_nothing_is_measured_outside_the_context() -> None:
    net = small_net()
    with torch.no_grad():
        with Responses(net) as responses:
            net(images(1))
        before = responses.std
        net(images(2))
    assert responses.std == before
    assert len(responses.ratios["stage1.block0"]) == 6
    assert not any(module._forward_hooks for module in net.modules())
