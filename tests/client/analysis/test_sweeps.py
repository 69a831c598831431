"""Sweeps without a cluster: answers as bytes, parts on disk, servers that are busy or not the same everywhere."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import resprobe
from resprobe import analysis, datasets
from resprobe._results.statistics import STATISTICS
from resprobe.analysis.sweeps import answers
from resprobe.analysis.sweeps.answers import Answers, ask
from resprobe.analysis.sweeps.parts import Parts, describe

from tests.support.commands import Run


@pytest.fixture(scope="module")
def two(address: str) -> tuple[Answers, Answers]:
    """Answers with readouts for the first 200 images of digits, and for 60 others."""
    images = np.asarray(datasets.load("digits").images)
    with resprobe.Client(address) as client:
        model = client.model("digits")
        first, second = (ask(client, part, model, ["readouts"], print) for part in (images[:200], images[200:260]))
    return first, second


@pytest.mark.parametrize("early", [True, False])
def test_answers_come_back_from_bytes_to_the_last_bit(two: tuple[Answers, Answers], early: bool) -> None:
    sizes = ((3, 4), *[None] * 199)
    one = dataclasses.replace(two[0], sizes=sizes, early=two[0].early if early else None)
    one.blocks.cosine[0, 0] = np.nan
    again = Answers.from_bytes(one.to_bytes())
    assert again.sizes == sizes
    assert again.blocks.names == one.blocks.names
    for name in STATISTICS:
        assert getattr(again.blocks, name).tobytes() == getattr(one.blocks, name).tobytes()
    assert again.probability.tobytes() == one.probability.tobytes()
    assert np.array_equal(again.predicted, one.predicted)
    assert (again.early is not None) == early
    if again.early is not None and one.early is not None:
        assert (again.early.names, again.early.heads) == (one.early.names, one.early.heads)
        assert np.array_equal(again.early.depth, one.early.depth)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY"])
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not the answers of a model"):
        Answers.from_bytes(content)


def test_parts_are_joined_in_order(two: tuple[Answers, Answers]) -> None:
    joined = Answers.concatenate(two)
    assert len(joined) == len(joined.sizes) == 260
    assert np.array_equal(joined.blocks.ratio[200:], two[1].blocks.ratio)
    assert joined.early is not None and len(joined.early) == 260


def test_the_same_sweep_finds_its_parts_and_another_does_not(
    two: tuple[Answers, Answers], client: resprobe.Client, tmp_path: Path
) -> None:
    images, model = np.asarray(datasets.load("digits").images), client.model("digits")
    parts = Parts(tmp_path / "parts", describe(images, model, [], 128))
    assert parts.read(1) is None
    parts.write(1, two[0].to_bytes())
    found = Parts(tmp_path / "parts", describe(images.copy(), model, (), 128)).read(1)
    assert found is not None
    assert found.blocks.ratio.tobytes() == two[0].blocks.ratio.tobytes()
    other = dataclasses.replace(model, digest="another")
    for wrong in (describe(images[1:], model, [], 128), describe(images, other, [], 128)):
        with pytest.raises(resprobe.Error, match=r"holds parts of another sweep \(its (images|description) is another"):
            Parts(tmp_path / "parts", wrong)
    (tmp_path / "parts" / "00000002.npz").write_bytes(b"PK")
    with pytest.raises(resprobe.Error, match=r"00000002.npz cannot be read, remove it"):
        parts.read(2)


def test_changed_files_are_another_sweep(client: resprobe.Client, tmp_path: Path) -> None:
    path, model = tmp_path / "a.png", client.model("digits")
    path.write_bytes(b"1")
    before = describe([path], model, [], 1)
    path.write_bytes(b"22")
    assert describe([path], model, [], 1) != before


def test_another_description_ends_a_sweep(client: resprobe.Client) -> None:
    model = dataclasses.replace(client.model("digits"), digest="0123")
    with pytest.raises(resprobe.Error, match=r"is not the same everywhere or was replaced: description \w+ answered"):
        analysis.sweep(client, datasets.load("digits").head(3), model)


class Busy:
    """Client whose server is busy every other time."""

    def __init__(self, client: resprobe.Client, wait: float) -> None:
        self._client, self._wait, self.refused = client, wait, 0

    def stream(self, batches: Any, **options: Any) -> Iterator[Any]:
        for count, result in enumerate(self._client.stream(batches, **options)):
            if count == 1:
                self.refused += 1
                raise resprobe.ServerBusy("busy", retry_after=self._wait)
            yield result


def test_a_busy_server_is_asked_again_for_the_rest(client: resprobe.Client) -> None:
    images, model = np.asarray(datasets.load("digits").images), client.model("digits")
    busy: Any = Busy(client, 0.001)
    found = ask(busy, images, model, (), print)
    assert busy.refused == 2
    assert found.blocks.ratio.tobytes() == ask(client, images, model, (), print).blocks.ratio.tobytes()
    never: Any = Busy(client, answers.PATIENCE + 1)
    with pytest.raises(resprobe.ServerBusy):
        ask(never, images, model, (), print)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seven.png", "--engine", "ray"], "--engine ray needs --dataset"),
        (["--dataset", "digits", "--ray-address", "head:6379"], "--ray-address needs --engine ray"),
        (["--dataset", "digits", "--engine", "ray", "--actors", "0"], "actors is 0; expected at least 1"),
    ],
)
def test_options_that_do_not_go_together(run: Run, address: str, words: list[str], message: str) -> None:
    code, _, error = run("resprobe", "blocks", *words, "--model", "digits", "--address", address)
    assert code == 1
    assert message in error


def test_an_engine_that_does_not_exist(client: resprobe.Client) -> None:
    engine: Any = "dask"
    with pytest.raises(resprobe.InvalidRequest, match="engine 'dask': expected 'process', 'ray' or"):
        analysis.sweep(client, datasets.load("digits").head(1), "digits", engine=engine)
