"""Plans of a study that are refused."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.study import default_recipe
from resprobe_exporter.study.plan import ImportedNets

from tests.support.plain_resnets import torchvision
from tests.support.study import TINY


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "--seeds 0: expected 1 or more"),
        ({"lesion_limit": 0}, "--lesion-limit 0"),
        ({"depths": (8, 8)}, "--depths 8 8: expected different depths"),
        ({"depths": (9,)}, "depth 9 is not 6n\\+2"),
        ({"recipe": default_recipe("digits", 0)}, "--epochs 0: expected 1 or more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_plans_that_cannot_be_carried_out_are_refused(change: Mapping[str, object], message: str) -> None:
    with pytest.raises(ExporterError, match=message):
        replace(TINY, **change)  # type: ignore[arg-type]


def test_nets_for_imagenet_are_not_studied(tmp_path: Path) -> None:
    torch.save(torchvision(), tmp_path / "net.pth")
    nets = ImportedNets((tmp_path / "net.pth",), (), Preprocessing((0.5,) * 3, (0.2,) * 3))
    with pytest.raises(ExporterError, match=r"net\.pth holds a net for ImageNet; the study measures nets for CIFAR"):
        replace(TINY, imported=nets).jobs()
