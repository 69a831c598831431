"""Pictures made to occupy the decoders: each is refused by its header, or decoded where it delays no other request."""

import asyncio
import io
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from resprobe._pictures.images import Encoded
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.config import Config
from resprobe_server.errors import Expired, InvalidRequest, NotReady, QueueFull
from resprobe_server.images.decode import decode
from resprobe_server.images.format import Decoded, Format
from resprobe_server.images.pool import Decoders
from resprobe_server.images.worker import Workers

from tests.support.servers import Serve

WANTED, MEGAPIXEL = Format(8, 8, 1), 1_000_000
LIMIT = 50 * MEGAPIXEL


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(height * (1 + width)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def scans(count: int, side: int = 64, kind: str = "JPEG") -> bytes:
    """A progressive JPEG, or the MPO of a phone that begins with one, whose last scan is repeated."""
    picture = Image.fromarray(np.zeros((side, side), np.uint8))
    several = {"save_all": True, "append_images": [picture]} if kind == "MPO" else {}
    data = encode(picture, kind, progressive=True, **several)
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


@pytest.fixture(scope="module")
def webp() -> bytes:
    """Two kilobytes of 49 megapixels."""
    data = encode(Image.new("RGB", (16_000, 3_060)), "WEBP", lossless=True)
    assert len(data) < 10_000
    return data


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    with ThreadPoolExecutor(2) as threads, closing(Decoders(threads, Config())) as made:
        yield made


CLAIMS = {
    "a side of 50 million": (png(1, 10_000_000), "16384 pixels a side"),
    "scans": (scans(2000), r"JPEG of 20\d\d scans; expected at most 64"),
    "scans in an MPO": (scans(2000, kind="MPO"), r"JPEG of 20\d\d scans; expected at most 64"),
    "chunks": (png(8, 8, chunk(b"abCd", b"") * 20_000), "PNG of more than 16384 chunks"),
}


@pytest.mark.parametrize(("data", "message"), CLAIMS.values(), ids=CLAIMS)
def test_claims_beyond_the_limits_are_refused_unread(data: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        decode(Encoded(data, "images[0]"), WANTED, LIMIT)


def test_a_usual_progressive_picture_is_decoded() -> None:
    assert decode(Encoded(scans(0), "images[0]"), WANTED, LIMIT).pixels.shape == WANTED.shape


def test_a_phones_photograph_is_decoded_in_a_process(decoders: Decoders) -> None:
    photograph = encode(Image.radial_gradient("L").resize((6000, 4000)), "JPEG")
    expected = decode(Encoded(photograph, "images[0]"), WANTED, LIMIT)
    found = asyncio.run(decoders.decode([Encoded(photograph, "images[0]")] * 2, WANTED))
    np.testing.assert_array_equal(found.images, np.stack([expected.pixels, expected.pixels]))
    assert found.resized_from == [(4000, 6000), (4000, 6000)]


def test_the_pixels_of_a_request_are_bounded_together(decoders: Decoders, webp: bytes) -> None:
    with pytest.raises(InvalidRequest, match="more than 200 megapixels"):
        asyncio.run(decoders.decode([Encoded(webp, f"images[{index}]") for index in range(64)], WANTED))


def test_damage_in_a_large_picture_is_said(decoders: Decoders) -> None:
    cut = encode(Image.effect_noise((1500, 1500), 50), "JPEG")[:-30_000]
    with pytest.raises(InvalidRequest, match=r"images\[0\] is damaged or cut short"):
        asyncio.run(decoders.decode([Encoded(cut, "images[0]")], WANTED))


def test_a_picture_that_takes_too_long_is_given_up_and_the_next_is_decoded(webp: bytes) -> None:
    with closing(Workers(0.05)) as workers, pytest.raises(InvalidRequest, match=r"takes longer than 0.05 s"):
        workers.decode(Encoded(webp, "images[0]"), WANTED, LIMIT)
    with closing(Workers(60)) as workers:
        for _ in range(2):
            assert workers.decode(Encoded(png(2000, 1000), "images[0]"), WANTED, LIMIT).pixels.shape == WANTED.shape
        assert len(workers._all) == 1
    with pytest.raises(NotReady):
        workers.decode(Encoded(webp, "images[0]"), WANTED, LIMIT)


def test_what_is_decoded_at_a_time_is_bounded() -> None:
    async def ask(decoders: Decoders) -> list[Any]:
        data = Encoded(png(1100, 1000, chunk(b"abCd", bytes(900_000))), "images[0]")
        return await asyncio.gather(*(decoders.decode([data], WANTED) for _ in range(4)), return_exceptions=True)

    async def twice(decoders: Decoders) -> tuple[list[Any], list[Any]]:
        return await ask(decoders), await ask(decoders)

    for limits in ({"max_decode": 1}, {"max_large_pictures": 1}):
        with ThreadPoolExecutor(2) as threads, closing(Decoders(threads, Config(**limits))) as decoders:  # type: ignore[arg-type]
            answers, again = asyncio.run(twice(decoders))
            assert any(isinstance(answer, Decoded) for answer in answers)
            assert any(isinstance(answer, QueueFull) for answer in answers)
            assert any(isinstance(answer, Decoded) for answer in again)  # what was given back can be used again


def test_large_pictures_of_callers_who_went_hold_nothing(webp: bytes) -> None:
    async def ask(decoders: Decoders) -> int:
        image = Encoded(webp, "images[0]")
        tasks = [asyncio.create_task(decoders.decode([image], WANTED)) for _ in range(8)]
        while decoders._large_waiting < len(tasks):
            await asyncio.to_thread(int)  # what they do comes first
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return decoders._large_waiting

    with ThreadPoolExecutor(1) as threads, closing(Decoders(threads, Config(decode_threads=1))) as decoders:
        assert asyncio.run(ask(decoders)) == 1  # the one in its process
        assert decoders._large._work_queue.qsize() == 0


def test_nothing_is_decoded_after_the_deadline(decoders: Decoders) -> None:
    with pytest.raises(Expired):
        asyncio.run(decoders.decode([Encoded(png(8, 8), "images[0]")], WANTED, deadline=time.monotonic()))


def test_many_pictures_of_one_request_do_not_keep_another_waiting(decoders: Decoders) -> None:
    done: list[str] = []

    async def ask(name: str, count: int) -> None:
        await decoders.decode([Encoded(png(300, 300), name)] * count, WANTED)
        done.append(name)

    async def both() -> None:
        await asyncio.gather(ask("many", 1000), ask("one", 1))

    asyncio.run(both())
    assert done == ["one", "many"]


def test_damaged_pictures_are_the_callers_fault() -> None:
    generator = np.random.default_rng(0)
    noise = Image.fromarray(generator.integers(0, 256, (24, 24, 3), np.uint8))
    files = [encode(noise.convert(mode), kind) for mode, kind in (("P", "PNG"), ("RGBA", "PNG"), ("L", "PNG"))]
    files += [encode(noise, "JPEG"), encode(noise, "JPEG", progressive=True), encode(noise, "WEBP")]
    refused = 0
    for turn in range(3000):
        data = bytearray(files[turn % len(files)])
        for _ in range(generator.integers(1, 4)):
            data[generator.integers(len(data))] = generator.integers(256)
        try:
            assert decode(Encoded(bytes(data), "images[0]"), WANTED, MEGAPIXEL).pixels.shape == WANTED.shape
        except InvalidRequest:
            refused += 1
    assert 100 < refused < 3000


def test_pictures_that_hurt_are_refused_by_a_server_that_goes_on(start: Serve, repository: Path, webp: bytes) -> None:
    bombs = [webp] * 64, [scans(2000)], [png(1, 10_000_000)]
    with start(repository) as address, grpc.insecure_channel(address) as channel:
        stub = ResidualServiceStub(channel)
        for bomb in bombs:
            images = [pb.Image(encoded=data) for data in bomb]
            with pytest.raises(grpc.RpcError) as caught:
                stub.Classify(pb.ClassifyRequest(model="digits", images=images))
            assert isinstance(caught.value, grpc.Call)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        good = pb.ClassifyRequest(model="digits", images=[pb.Image(encoded=png(8, 8))])
        assert len(stub.Classify(good).results) == 1
