"""`exporter study --models`: a residual net beside a ViT, both really served; numbers are those of the client."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import resprobe

from tests.support.access import write_tokens
from tests.support.commands import Run
from tests.support.servers import Serve, free_address


def study(run: Run, address: str, out: Path, *words: object) -> tuple[int, str, str]:
    return run("exporter", "study", "--address", address, "--out", str(out), *map(str, words))


def test_a_resnet_beside_a_vit(run: Run, served: str, pictures: Path, tmp_path: Path) -> None:
    code, out, error = study(run, served, tmp_path, "--models", "colour", "vit", "--images", pictures, "--json")
    assert code == 0, error
    found = json.loads(out)
    assert found == json.loads((tmp_path / "results.json").read_text())
    assert (found["dataset"], found["images"]) == ("picture files", 12)
    assert [one["blocks"] for one in found["models"]] == [{"conv": 3}, {"attention": 2, "mlp": 2}]
    table = pq.read_table(tmp_path / "served_ratios.parquet").to_pylist()
    logarithms = {}
    with resprobe.Client(served) as client:
        for model in ("colour", "vit"):
            blocks = client.classify(sorted(pictures.glob("*.png")), model=model, blocks=True).blocks
            rows = [row for row in table if row["model"] == model]
            assert [row["block"] for row in rows] == blocks.names
            assert [row["depth"] for row in rows] == [(place + 0.5) / len(rows) for place in range(len(rows))]
            np.testing.assert_allclose([row["ratio"] for row in rows], blocks.ratio.mean(0), rtol=1e-4)
            np.testing.assert_allclose([row["inverse_ratio"] for row in rows], (1 / blocks.ratio).mean(0), rtol=1e-4)
            assert all(row["low"] < row["ratio"] < row["high"] for row in rows)
            logarithms[model] = np.log(blocks.ratio.astype(np.float64)).mean(axis=1)
    first = found["answers"][0]
    factor = first["numbers"][-1]["estimate"]
    assert factor["value"] == pytest.approx(np.exp((logarithms["colour"] - logarithms["vit"]).mean()), rel=1e-4)
    smaller = factor["low"] > 1  # of the ViT
    assert first["outcome"] == ("confirmed" if smaller else "contradicted" if factor["high"] < 1 else "cannot tell")
    assert "Whether its weights are trained is not known from these images" in first["verdict"]


def test_single_tokens_of_a_vit(run: Run, served: str, pictures: Path, tmp_path: Path) -> None:
    code, _, error = study(run, served, tmp_path, "--models", "colour", "vit", "--images", pictures)
    assert code == 0, error
    rows = pq.read_table(tmp_path / "tokens.parquet").to_pylist()
    with resprobe.Client(served) as client:
        maps = client.classify(sorted(pictures.glob("*.png")), model="vit", views=["maps"]).maps
    assert maps is not None
    for place, row in enumerate(rows):
        inverse = np.log(maps.shortcut[place][..., 0] / maps.branch[place][..., 0])
        assert row["class_token"] == pytest.approx(np.exp(inverse[:, 0].mean()), rel=1e-4)
        assert row["other_tokens"] == pytest.approx(np.exp(inverse[:, 1:].mean()), rel=1e-4)
    assert len(rows) == 4
    text = (tmp_path / "index.html").read_text()
    assert text.count("<svg") == 2
    assert "<script" not in text
    assert "arXiv 2108.08810" in text


def test_untrained_weights_are_left_out(run: Run, served: str, tmp_path: Path) -> None:
    code, out, error = study(run, served, tmp_path, "--models", "digits", "untrained", "--json")
    assert code == 0, error
    found = json.loads(out)
    assert [one["guesses"] for one in found["models"]] == [False, True]
    assert len(found["answers"]) == 1
    assert found["answers"][0]["outcome"] == "unanswered"
    assert "untrained/1: typical ratio" in found["answers"][0]["verdict"]
    assert "no better than guessing, so it is left out" in found["answers"][0]["verdict"]


def test_arrays_of_another_size_and_other_classes(run: Run, served: str, tmp_path: Path) -> None:
    words = ["--models", "digits", "vit", "--limit", "10", "--resize", "--json"]
    code, out, error = study(run, served, tmp_path, *words)
    assert code == 0, error
    digits, vit = json.loads(out)["models"]
    assert digits["accuracy"] is not None
    assert vit["accuracy"] is None
    assert "images of digits are 8×8×1 and were resized to 16×16×3" in vit["notes"]
    assert "its classes are not those of digits" in vit["notes"]


def test_one_image_has_no_interval(run: Run, served: str, pictures: Path, tmp_path: Path) -> None:
    one = pictures / "00.png"
    code, out, error = study(run, served, tmp_path, "--models", "colour", "vit", "--images", one, "--json")
    assert code == 0, error
    first, second = json.loads(out)["answers"]
    assert first["outcome"] == second["outcome"] == "cannot tell"
    assert "no interval, n = 1" in first["verdict"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "digits"], "--models digits: expected at least two models to compare"),
        (["--models", "digits", "digits/1"], "--models: digits/1 is named twice; expected each version once"),
        (["--models", "digits", "plain"], "model plain has no residual blocks to measure; leave it out of --models"),
        (["--models", "digits", "nosuch"], "nosuch"),
        (["--models", "digits", "vit"], "images of digits are 8×8×1, and model vit is for 16×16×3"),
        (["--models", "digits", "vit", "--limit", "0"], "--limit 0: expected 1 or more"),
        (["--models", "digits", "vit", "--images", "nowhere"], "nowhere does not exist; expected a picture file"),
        (["--models", "digits", "vit", "--images", "empty"], "empty holds no pictures"),
        (["--models", "digits", "vit", "--images", "empty", "--resize"], "leave out --resize"),
        (["--models", "a", "b", "--checkpoints", "x.th", "--seeds", "1"], "leave out --seeds and --checkpoints"),
        (["--images", "empty"], "--images and --address: expected --models too"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_refused(
    run: Run, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, out, error = study(run, served, tmp_path / "out", *words)
    assert (code, out) == (1, "")
    assert message in error
    assert not (tmp_path / "out" / "index.html").exists()


def test_without_the_right_to_analyse_or_a_server(
    run: Run, start: Serve, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--models", "digits/1", "digits/2", "--limit", "2"]
    with start(repository, tokens=write_tokens(tmp_path / "tokens.toml")) as address:
        monkeypatch.setenv("RESPROBE_TOKEN", "a-classifier")
        code, _, error = study(run, address, tmp_path / "out", *words)
        assert (code, "analyse" in error) == (1, True), error
    code, _, error = study(run, free_address(), tmp_path / "out", *words)
    assert (code, "is resprobe-server running?" in error) == (1, True), error
