"""A picture of another size than the model's is resized, and whoever asks is told which, and from what size."""

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import resprobe
from PIL import Image
from resprobe._pictures.images import Size
from resprobe.analysis.collect import sweep
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos import resprobe_pb2_grpc

from tests.support.commands import Run

ORIENTATION = 0x0112


def encoded(height: int, width: int, kind: str = "PNG", orientation: int = 1) -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = orientation
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, kind, exif=exif)
    return file.getvalue()


def zeros(height: int, width: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    return np.zeros((height, width, channels), np.uint8)


# What is sent to a model of 12×12 colours, and the size that it was resized from.
CASES: dict[str, tuple[Any, Size | None]] = {
    "its own size": (zeros(12, 12), None),
    "its own size, grey": (zeros(12, 12, 1), None),
    "its own size, a file": (encoded(12, 12), None),
    "an array": (zeros(5, 7), (5, 7)),
    "a PIL image": (Image.new("RGBA", (7, 5)), (5, 7)),
    "a PNG": (encoded(20, 30), (20, 30)),
    "a JPEG": (encoded(200, 300, "JPEG"), (200, 300)),
    "a WebP": (encoded(20, 12, "WEBP"), (20, 12)),
    "lies on its side": (encoded(20, 30, "JPEG", 6), (30, 20)),
    "upside down": (encoded(20, 30, "PNG", 3), (20, 30)),
    "decoded in a process": (encoded(1000, 1500, "JPEG", 8), (1500, 1000)),
}


@pytest.mark.parametrize("case", CASES)
def test_each_says_the_size_that_one_sees(client: resprobe.Client, case: str) -> None:
    image, size = CASES[case]
    assert client.classify([image], model="colour").resized_from == [size]


def test_of_several_only_those_that_were_resized_say_so(client: resprobe.Client, address: str) -> None:
    images, sizes = map(list, zip(*CASES.values(), strict=True))
    assert client.classify(images, model="colour", blocks=True).resized_from == sizes
    assert [one.resized_from for one in client.stream([images, images[:1]], model="colour")] == [sizes, sizes[:1]]

    async def ask() -> resprobe.Result:
        async with resprobe.AsyncClient(address) as twin:
            return await twin.classify(images, model="colour")

    assert asyncio.run(ask()).resized_from == sizes


@pytest.fixture
def stub(address: str) -> Iterator[resprobe_pb2_grpc.ResidualServiceStub]:
    with grpc.insecure_channel(address) as channel:
        yield resprobe_pb2_grpc.ResidualServiceStub(channel)


def test_the_typed_response(stub: resprobe_pb2_grpc.ResidualServiceStub) -> None:
    images = [pb.Image(encoded=encoded(20, 30)), pb.Image(pixels=pb.Pixels(height=12, width=12, channels=3))]
    images[1].pixels.data = bytes(12 * 12 * 3)
    request = pb.ClassifyRequest(model="colour", images=images, view=pb.VIEW_BLOCKS)
    for response in (stub.Classify(request), *stub.ClassifyStream(iter([request]))):
        first, second = response.results
        assert (first.resized_from.height, first.resized_from.width) == (20, 30)
        assert not second.HasField("resized_from")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for name, data in {"a.png": encoded(20, 30), "b.png": encoded(12, 12), "c.jpg": encoded(20, 30, "JPEG", 6)}.items():
        (tmp_path / name).write_bytes(data)
    return [str(tmp_path / name) for name in ("a.png", "b.png", "c.jpg")]


@pytest.mark.parametrize("command", ["classify", "blocks"])
def test_the_commands_say_which(run: Run, address: str, files: list[str], command: str) -> None:
    words = [command, "--address", address, "--model", "colour"]
    code, out, _ = run("resprobe", *words, *files)
    a, b, c = files
    note = f"note: 2 of 3 pictures were resized to 12×12 (height × width): {a} from 20×30, {c} from 30×20"
    assert (code, out.splitlines()[-1]) == (0, note)
    assert run("resprobe", *words, a)[1].endswith(f"note: {a} was resized from 20×30 to 12×12 (height × width)\n")
    both = run("resprobe", *words, a, a)[1].splitlines()[-1]
    assert both == "note: all 2 pictures were resized from 20×30 to 12×12 (height × width)"
    assert "note" not in run("resprobe", *words, b)[1]
    found = json.loads(run("resprobe", *words, *files, "--json")[1])
    entries = found if command == "classify" else found["images"]
    sizes = [{"height": 20, "width": 30}, None, {"height": 30, "width": 20}]
    assert [entry["resized_from"] for entry in entries] == sizes


def test_a_long_note_names_the_first(client: resprobe.Client, files: list[str]) -> None:
    frame = sweep(client, [Path(name) for name in files] * 10, "colour")
    (note,) = frame.notes
    assert note.startswith("20 of 30 pictures were resized to 12×12 (height × width): ")
    assert note.endswith(" from 30×20 and 10 more")


@pytest.mark.parametrize("command", ["blocks", "lesions"])
def test_the_pictures_of_a_folder(run: Run, address: str, tmp_path: Path, command: str) -> None:
    for name, size in {"class1": (12, 12), "class2": (9, 5)}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(encoded(*size))
    words = [command, "--dataset", "folder", "--data", str(tmp_path), "--address", address, "--model", "colour"]
    note = f"1 of 2 pictures were resized to 12×12 (height × width): {tmp_path / 'class2' / '0.png'} from 9×5"
    assert f"note: {note}" in run("resprobe", *words)[1].splitlines()
    assert note in json.loads(run("resprobe", *words, "--json")[1])["notes"]
