"""A server with a residual net, an untrained one, a plain one, and a ViT with a class token; and pictures."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from resprobe_exporter.importing import onnx_source
from resprobe_exporter.nets.preprocessing import PRESETS, Preprocessing
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.training import data, trainer
from resprobe_exporter.versions import import_onnx
from resprobe_exporter.versions.candidate import Origin
from resprobe_exporter.versions.net_candidate import net_candidate
from resprobe_exporter.versions.writer import write_version

from tests.support.residual_nets import export, make
from tests.support.servers import Serve


@pytest.fixture(scope="package")
def served(
    repository: Path, start: Serve, digits: data.Data, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a server with the models digits, untrained, plain, colour and vit."""
    root = tmp_path_factory.mktemp("served")
    for name in ("digits", "plain", "colour"):
        shutil.copytree(repository / name / "1", root / name / "1")
    net = ResNet(Architecture(depth=8, height=8, width=8, channels=1))
    trainer.train(net, digits, trainer.Recipe(0), 0, lambda _: None)
    preprocessing = Preprocessing(digits.mean, digits.std)
    write_version(net_candidate(net, preprocessing, digits.classes, Origin("test")), root, "untrained")
    torch.manual_seed(0)
    file = onnx_source.read(export(make("vit"), root / "vit.onnx"), scores=True)
    options = import_onnx.OnnxOptions(Preprocessing((0.4,) * 3, (0.25,) * 3, PRESETS["imagenet"]))
    import_onnx.import_onnx(file, options, None, root, "vit")
    (root / "vit.onnx").unlink()
    with start(root, max_batch=8) as address:
        yield address


@pytest.fixture(scope="package")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve pictures of noise, of several sizes."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for place in range(12):
        pixels = random.integers(0, 256, (20 + place, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{place:02}.png")
    return root
