"""Blocks chosen by hand: by a regular expression or by names in a file, and what cannot be chosen."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.importing.chosen_blocks import Choice
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions.import_onnx import OnnxOptions

from tests.support.onnx_files import File, images, import_file, normalised, returned, save

PREPROCESSING = Preprocessing((0.5,) * 3, (0.25,) * 3)


def write(directory: Path) -> tuple[Path, dict[str, str]]:
    """A net of a block, parallel convolutions, a block and a broadcast addition; names of the sums by kind."""
    file = File()
    x = file.stem()
    first = file.op("Add", file.branch(x, 4, 4), x)
    x = file.op("Relu", first)
    parallel = file.op("Add", file.conv(x, 4, 4), file.conv(x, 4, 4, kernel=1))
    x = file.op("Relu", parallel)
    second = file.op("Add", x, file.branch(x, 4, 4))
    x = file.op("Relu", second)
    broadcast = file.op("Add", x, file.op("GlobalAveragePool", file.conv(x, 4, 4)))
    path = save(file.model(file.head(broadcast, 4)), directory / "net.onnx")
    return path, {"first": first, "parallel": parallel, "second": second, "broadcast": broadcast}


def choose(path: Path, text: str, root: Path) -> tuple[Path, list[str]]:
    """Imports with `--blocks TEXT`; returns the directory and the sums of the blocks."""
    version = import_file(path, root, OnnxOptions(PREPROCESSING, blocks=Choice.parse(text)))
    return version.directory, [block.sum_tensor for block in version.description.blocks]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("stage1", ["first", "second"]),
        ("^stage1.block1$", ["second"]),
        ("{parallel}", ["parallel"]),
        ("{first}$|{parallel}$", ["first", "parallel"]),
    ],
)
def test_a_regular_expression_is_searched_for_in_names_of_blocks_and_sums(
    tmp_path: Path, text: str, chosen: list[str]
) -> None:
    path, sums = write(tmp_path)
    _, found = choose(path, text.format(**sums), tmp_path / "models")
    assert found == [sums[name] for name in chosen]


def test_a_file_names_blocks_and_sums(tmp_path: Path) -> None:
    path, sums = write(tmp_path)
    names = tmp_path / "blocks.txt"
    names.write_text(f"# by hand\n{sums['parallel']}\n\nstage1.block1\n")
    _, found = choose(path, str(names), tmp_path / "models")
    assert found == [sums["parallel"], sums["second"]]
    names.write_text("stage1.block0\nstage9.block9\n")
    with pytest.raises(
        ExporterError, match=r"'stage9.block9' of --blocks .*blocks.txt names no addition of two tensors"
    ):
        choose(path, str(names), tmp_path / "models")


def test_a_chosen_sum_of_convolutions_has_statistics_and_lesions(tmp_path: Path) -> None:
    path, sums = write(tmp_path)
    directory, _ = choose(path, sums["parallel"], tmp_path / "models")
    model = onnx.load(path)
    (node,) = (one for one in model.graph.node if one.output[0] == sums["parallel"])
    one, other = returned(model, normalised(images()), *node.input)
    blocks = Graph(directory / "probe.onnx").run(images())["blocks"]
    lengths = [np.linalg.norm(array.reshape(3, -1), axis=1) for array in (one, other)]
    np.testing.assert_allclose(np.sort(blocks[:, 0, :2]), np.sort(np.stack(lengths, 1)), rtol=1e-4)
    lesion = Graph(directory / "lesion.onnx")
    intact, cut = (lesion.run(images(), np.full((3, 1), scale, np.float32))["logits"] for scale in (1, 0))
    assert np.abs(intact - cut).max() > 1e-2 * np.abs(intact).max()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{broadcast}", "which cannot be a block: one operand is broadcast"),
        ("no such", "--blocks no such names no addition of two tensors in .*; its additions: stage1.block0, "),
        ("(", "is not a file, and not a regular expression: "),
    ],
)
def test_what_cannot_be_chosen_is_refused_in_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    path, sums = write(tmp_path)
    with pytest.raises(ExporterError, match=message):
        choose(path, text.format(**sums), tmp_path / "models")


def test_a_net_of_parallel_convolutions_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """RepVGG: three linear parts are summed before each ReLU."""
    file = File()
    x = file.stem()
    for _ in range(2):
        pair = file.op("Add", file.conv(x, 4, 4), file.conv(x, 4, 4, kernel=1))
        x = file.op("Relu", file.op("Add", pair, x))
    path = save(file.model(file.head(x, 4)), tmp_path / "net.onnx")
    with pytest.raises(
        ExporterError, match=r"has no residual additions F\(x\) \+ s\(x\); --blocks chooses some of them"
    ):
        import_file(path, tmp_path / "models")
    assert "no non-linearity between x and F(x)" in capsys.readouterr().err
