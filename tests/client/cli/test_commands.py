"""The commands of `resprobe`, as a person or a script uses them."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.commands import Run
from tests.support.datasets import write_folder


def test_models(run: Run, address: str) -> None:
    code, out, _ = run("resprobe", "models", "--address", address)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[2:]] == [
        ["colour", "1*"],
        ["digits", "1"],
        ["digits", "2*"],
        ["plain", "1*"],
    ]
    models = json.loads(run("resprobe", "models", "--address", address, "--json")[1])
    assert models[2]["blocks"] == ["stage1.block0", "stage2.block0", "stage3.block0"]
    assert models[2]["default"]


def test_classify(run: Run, address: str, picture: Path) -> None:
    code, out, _ = run("resprobe", "classify", str(picture), str(picture), "--address", address, "--model", "digits")
    assert code == 0
    assert out.count("digit.png") == 2
    text = run(
        "resprobe", "classify", str(picture), "--address", address, "--model", "digits", "--top-k", "99", "--json"
    )[1]
    (found,) = json.loads(text)
    long = run("resprobe", "classify", str(picture), "--address", address, "--model", "digits", "--top-k", "99")[1]
    assert len(long.splitlines()) == 2 + 10  # a heading, and a row for each class
    assert found["image"] == str(picture)
    assert len(found["classes"]) == 10
    assert found["classes"][0]["label"] in out


@pytest.mark.parametrize("command", [["classify"], ["blocks"], ["drift", "--dataset", "digits"]], ids=str)
@pytest.mark.parametrize(
    ("named", "version"), [(["digits/1"], "1"), (["digits", "--version", "1"], "1"), (["digits"], "2")]
)
def test_a_model_is_named_with_its_version(
    run: Run, address: str, picture: Path, command: list[str], named: list[str], version: str
) -> None:
    images = [] if "--dataset" in command else [str(picture)]
    code, out, _ = run("resprobe", *command, *images, "--model", *named, "--address", address, "--json")
    assert code == 0
    found = json.loads(out)
    if command == ["classify"]:
        assert len(found) == 1
    else:
        assert (found["model"], found["version"]) == ("digits", version)


def test_two_versions_of_one_model_contradict_each_other(run: Run, address: str, picture: Path) -> None:
    where = ["--model", "digits/1", "--version", "2", "--address", address]
    code, _, error = run("resprobe", "classify", str(picture), *where)
    assert code == 1
    assert "model 'digits/1' and version '2' contradict each other" in error


def test_blocks_of_a_picture(run: Run, address: str, picture: Path, tmp_path: Path) -> None:
    arguments = ["blocks", str(picture), "--address", address, "--model", "digits"]
    code, out, _ = run("resprobe", *arguments, "--plot", str(tmp_path / "blocks.svg"))
    assert code == 0
    assert "stage2.block0" in out
    assert (tmp_path / "blocks.svg").read_text().lstrip().startswith("<?xml")
    found = json.loads(run("resprobe", *arguments, "--json")[1])
    assert found["blocks"] == ["stage1.block0", "stage2.block0", "stage3.block0"]
    ratio = found["images"][0]["ratio"]
    assert f"{ratio[1]:.3f}" in out


def test_blocks_of_a_data_set(run: Run, address: str, tmp_path: Path) -> None:
    path = tmp_path / "stats.parquet"
    arguments = ["blocks", "--dataset", "digits", "--limit", "300", "--address", address, "--model", "digits"]
    code, out, _ = run("resprobe", *arguments, "--out", str(path), "--plot", str(tmp_path / "blocks.png"))
    assert code == 0
    assert "on 300 images of digits: accuracy 0." in out
    summary = json.loads(run("resprobe", *arguments, "--json")[1])
    table = pq.read_table(path)
    assert table.num_rows == summary["images"] == 300
    metadata = {key.decode(): json.loads(value) for key, value in table.schema.metadata.items()}
    model = metadata["model"]
    assert [block["name"] for block in model["blocks"]] == ["stage1.block0", "stage2.block0", "stage3.block0"]
    assert (model["name"], model["version"], metadata["dataset"]) == ("digits", "2", "digits")
    assert model["classes"] == list("0123456789")
    columns = table.to_pydict()
    assert columns["index"] == list(range(300))
    assert set(columns["file"]) == {None}
    correct = np.mean(np.array(columns["label"]) == np.array(columns["predicted"]))
    assert summary["accuracy"] == pytest.approx(correct)
    ratio = np.array([list(row.values()) for row in columns["ratio"]])
    assert ratio.shape == (300, 3)
    assert summary["blocks"][2]["ratio"]["mean"] == pytest.approx(ratio[:, 2].mean(), rel=1e-4)
    assert (tmp_path / "blocks.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["blocks.png", "stats.parquet"]


def test_blocks_of_a_folder(run: Run, address: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "pictures", {"class3": 2, "class1": 1})
    path = tmp_path / "stats.parquet"
    arguments = ["blocks", "--dataset", "folder", "--data", str(tmp_path / "pictures"), "--out", str(path)]
    assert run("resprobe", *arguments, "--address", address, "--model", "colour")[0] == 0
    columns = pq.read_table(path).to_pydict()
    assert [Path(file).name for file in columns["file"]] == ["0.png", "0.png", "1.png"]
    assert columns["label"] == [1, 3, 3]
