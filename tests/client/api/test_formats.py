"""One list of formats: what a folder is trained on, a sweep and the commands read too, and damage is named."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import resprobe
from PIL import Image
from resprobe._pictures import batches, formats
from resprobe._pictures.images import Encoded, collect
from resprobe.datasets import read_fitted, read_picture
from resprobe_server.images.decode import decode
from resprobe_server.images.format import Format

from tests.support.commands import Run
from tests.support.servers import Serve

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (12, 12)) -> Path:
    Image.fromarray(PIXELS).resize(size).convert(mode).save(path)
    return path


@pytest.mark.parametrize("suffix", [*sorted(formats.SUFFIXES), ".BMP"])
def test_every_format_is_read_everywhere(client: resprobe.Client, tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"x{suffix}")
    result = client.classify([path, path.read_bytes(), read_picture(path, 12, 12, 3)], model="colour")
    np.testing.assert_allclose(result.probabilities, result.probabilities[[0, 0, 0]], rtol=1e-5)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(12, 12), (7, 30)])
def test_a_bitmap_is_sent_as_one_sees_it(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    path = save(tmp_path / "x.bmp", mode, size)
    (sent,) = collect(path)
    assert isinstance(sent, Encoded)
    found, expected = decode(sent, Format(12, 12, 3), 10**6), read_fitted(path, 12, 12, 3)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert found.resized_from == expected.resized_from == (None if size == (12, 12) else (30, 7))


def test_what_a_file_holds_counts_and_not_its_name(client: resprobe.Client, tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "BMP")
    (tmp_path / "x.png").write_bytes(file.getvalue())
    assert client.classify(tmp_path / "x.png", model="colour").resized_from == [None]
    Image.fromarray(PIXELS).save(tmp_path / "x.gif")
    (tmp_path / "x.gif").rename(tmp_path / "y.png")
    with pytest.raises(resprobe.DatasetError, match=r"y.png .*expected a JPEG, PNG, WebP or BMP file"):
        read_picture(tmp_path / "y.png", 12, 12, 3)
    with pytest.raises(resprobe.InvalidImage, match=r"y.png is \d+ bytes that are not a JPEG"):
        client.classify(tmp_path / "y.png", model="colour")


@pytest.fixture
def mixed(tmp_path: Path) -> list[str]:
    """Three pictures, and a file of each kind of damage."""
    whole = [save(tmp_path / name) for name in ("a.bmp", "b.png", "c.jpg")]
    (tmp_path / "cut.bmp").write_bytes(whole[0].read_bytes()[:100])
    (tmp_path / "text.bmp").write_bytes(b"BMW is no picture")
    (tmp_path / "cut.png").write_bytes(whole[1].read_bytes()[:100])
    names = ["a.bmp", "cut.bmp", "b.png", "text.bmp", "cut.png", "gone.png", "c.jpg"]
    return [str(tmp_path / name) for name in names]


@pytest.mark.parametrize("command", ["classify", "blocks"])
@pytest.mark.parametrize("at_a_time", [1, 2, 128])
def test_damage_is_named_and_the_others_are_answered(
    run: Run,
    address: str,
    mixed: list[str],
    command: str,
    at_a_time: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "BATCH", at_a_time)
    code, out, error = run("resprobe", command, *mixed, "--address", address, "--model", "colour")
    assert (code, error.count("\n")) == (1, 1)
    assert error.startswith("resprobe: 4 of 7 pictures were not classified: ")
    for name in mixed:
        assert (name in error) == any(word in name for word in ("cut", "text", "gone")) == (name not in out)
    code, out, _ = run("resprobe", command, *mixed, "--address", address, "--model", "colour", "--json")
    found = json.loads(out)
    entries = found if command == "classify" else found["images"]
    assert (code, [Path(one["image"]).name for one in entries]) == (1, ["a.bmp", "b.png", "c.jpg"])


def test_more_files_than_fit_into_a_message(run: Run, start: Serve, repository: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (500, 500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.bmp")  # 0.7 MiB
    large = np.random.default_rng(1).integers(0, 256, (700, 700, 3), np.uint8)
    Image.fromarray(large).save(tmp_path / "y.png")  # 1.4 MiB
    with start(repository, max_message=1) as where:
        words = ["classify", *[str(tmp_path / "x.bmp")] * 3, str(tmp_path / "y.png"), "--address", where]
        code, out, error = run("resprobe", *words, "--model", "colour")
    assert (code, out.count("x.bmp"), out.count("y.png")) == (1, 3, 0)
    assert error.startswith(f"resprobe: 1 of 4 pictures were not classified: {tmp_path / 'y.png'}: the message has 1.4")
    assert error.endswith("send it smaller\n")


def test_files_go_in_parts_of_few_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BYTES", 10)
    monkeypatch.setattr(batches, "BATCH", 3)
    paths = [tmp_path / str(place) for place in range(8)]
    for path, size in zip(paths, (4, 6, 1, 20, 1, 1, 1, 1), strict=True):
        path.write_bytes(bytes(size))
    parts = [[int(path.name) for path in part] for part in batches.batches(paths)]
    assert parts == [[0, 1], [2], [3], [4, 5, 6], [7]]
    assert list(batches.batches([])) == []
