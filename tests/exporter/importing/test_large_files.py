"""Files of any size: weights in other files stay there, and every block of a long net is checked."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.importing import onnx_source
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions import import_onnx

from tests.support.onnx_files import CLASSES, SIZE, File, images, import_file, model_of, net, save

GIGABYTE = 2**30


def sparse(file: File, name: str, shape: tuple[int, int], offset: int) -> str:
    """Adds a weight that lies in zeros.bin."""
    weight = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    place = {"location": "zeros.bin", "offset": offset, "length": 4 * shape[0] * shape[1]}
    for key, value in place.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, str(value)
    file.weights.append(weight)
    return name


def wide(directory: Path, width: int) -> Path:
    """Writes a net with a layer of this width, whose weights are zeros in a sparse file."""
    file, inputs = File(), 4 * SIZE * SIZE
    flat = file.op("Flatten", file.block(file.stem(), 4))
    hidden = file.op("Relu", file.op("MatMul", flat, sparse(file, "first", (inputs, width), 0)))
    nothing = file.op("MatMul", hidden, sparse(file, "second", (width, CLASSES), 4 * inputs * width))
    scores = file.op("Add", file.op("MatMul", flat, file.random(inputs, CLASSES)), nothing)
    with (directory / "zeros.bin").open("wb") as zeros:
        zeros.truncate(4 * (inputs + CLASSES) * width)
    return save(file.model(scores), directory / "net.onnx")


def test_weights_in_other_files_are_never_in_the_message(tmp_path: Path) -> None:
    path = wide(tmp_path, 1000)
    file = onnx_source.read(path, scores=True)
    assert file.model.ByteSize() < 20_000 < (tmp_path / "zeros.bin").stat().st_size
    built = import_onnx.import_onnx(file, import_onnx.OnnxOptions(), None, tmp_path / "models", "net")
    assert (built.directory / "weights.bin").stat().st_size > 1000 * 4 * 256
    assert len(Graph(built.directory / "probe.onnx").shapes["out"]) == 2


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("unsorted", [False, True])
def test_they_are_the_same_net(tmp_path: Path, opset: int, unsorted: bool) -> None:
    model = model_of(net(), opset=opset)
    if unsorted:
        model.graph.node.append(model.graph.node.pop(0))
    whole = import_file(save(model, tmp_path / "net.onnx"), tmp_path / "whole").directory
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    parts = import_file(tmp_path / "net.onnx", tmp_path / "parts").directory
    one, two = (Graph(directory / "lesion_probe.onnx") for directory in (whole, parts))
    scale = np.full((3, 1), 0.5, np.float32)
    for name, expected in one.run(images(), scale).items():
        np.testing.assert_array_equal(two.run(images(), scale)[name], expected)


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = wide(tmp_path, 100)
    with (tmp_path / "zeros.bin").open("r+b") as zeros:
        zeros.truncate(1000)
    with pytest.raises(ExporterError, match=r"the weights of .*net\.onnx, which are in other files, cannot be read"):
        onnx_source.read(path)


def _free_memory() -> float:
    words = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(words["MemAvailable"].split()[0]) * 1024 / GIGABYTE


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/meminfo").is_file() or _free_memory() < 10, reason="needs 10 GiB of free memory")
def test_more_than_2_gb_of_weights(tmp_path: Path) -> None:
    path = wide(tmp_path, 2_200_000)
    assert (tmp_path / "zeros.bin").stat().st_size > 2 * GIGABYTE
    directory = import_file(path, tmp_path / "models").directory
    assert (directory / "weights.bin").stat().st_size > 2 * GIGABYTE
    scores = Graph(directory / "probe.onnx").run(images())["logits"]
    (tmp_path / "small").mkdir()
    small = import_file(wide(tmp_path / "small", 10), tmp_path / "models2").directory
    np.testing.assert_allclose(scores, Graph(small / "probe.onnx").run(images())["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_a_net_of_600_blocks(tmp_path: Path) -> None:
    file = File()
    x = file.stem(8)
    for _ in range(600):
        x = file.block(x, 8)
    scores = file.head(x, 8)
    for weight in file.weights:
        if list(weight.dims) == [8, 8, 3, 3]:  # so that 600 sums of branches stay small
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(0.2), weight.name))
    built = import_file(save(file.model(scores), tmp_path / "net.onnx"), tmp_path / "models")
    assert len(built.description.blocks) == 600
