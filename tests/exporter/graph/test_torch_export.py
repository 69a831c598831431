"""Exported graphs say nothing of this machine, and have the additions of their net."""

from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir
import pytest
from resprobe_exporter.errors import CheckFailed
from resprobe_exporter.graph import residual, torch_export
from resprobe_exporter.graph.residual import ResidualAddition
from resprobe_exporter.graph.torch_export import to_onnx

from tests.support.nets import small_net


def test_an_exported_graph_knows_nothing_of_this_machine(tmp_path: Path) -> None:
    ir.save(to_onnx(small_net(), (0.5,), (0.25,)), tmp_path / "model.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[3]).encode() not in content


@pytest.mark.parametrize(
    "change", [lambda found: found[1:], lambda found: found[::-1]], ids=["one less", "another order"]
)
def test_additions_that_are_not_those_of_the_net_are_refused(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[list[ResidualAddition]], list[ResidualAddition]]
) -> None:
    def find(graph: ir.Graph) -> list[ResidualAddition]:
        return change(list(residual.find(graph)))

    monkeypatch.setattr(torch_export, "find", find)
    with pytest.raises(CheckFailed, match=r"found \d residual additions in the graph; the net has 3"):
        to_onnx(small_net(), (0.5,), (0.25,))
