"""`--self-test` of quantised versions: speed against the float32 version, if that is in the repository."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from resprobe_server.config import Config
from resprobe_server.self_test import self_test, slower, table
from resprobe_server.validation import speed
from rich.console import Console


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.0)


def test_a_quantised_lean_graph_is_measured_against_its_source(quantised: Path, short: None) -> None:
    rows = asyncio.run(self_test(Config(quantised, max_batch=4, threads=1)))
    measured = {(row.model, row.graph): row for row in rows if row.speedup is not None}
    assert list(measured) == [("digits-int8", "model.onnx")]
    row = measured["digits-int8", "model.onnx"]
    assert row.speedup is not None
    assert row.speedup > 0
    assert list(slower([replace(row, speedup=1.5)])) == []
    (sentence,) = slower([replace(row, speedup=0.75)])
    assert sentence == (
        "digits-int8 version 1 is slower here than the float32 version that it was made of: 0.75 × as many images a "
        "second"
    )
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table(rows))
    assert "× float32" in captured.get()


@pytest.mark.parametrize("other", [False, True], ids=["none", "of other weights"])
def test_without_its_source_it_is_not_measured(
    quantised: Path, repository: Path, tmp_path: Path, short: None, other: bool
) -> None:
    shutil.copytree(quantised / "digits-int8", tmp_path / "digits-int8")
    if other:
        shutil.copytree(repository / "colour" / "1", tmp_path / "digits" / "1")
    rows = asyncio.run(self_test(Config(tmp_path, max_batch=4, threads=1)))
    assert not any(row.failure for row in rows)
    assert all(row.speedup is None for row in rows)
