"""Regions of shared memory: which memory may be one, and that its bounds hold whatever is asked for."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resprobe_server.errors import InvalidRequest
from resprobe_server.services.open_inference.regions import MAX_OF_OWNER, MAX_REGIONS, Region, Regions

BYTES = bytes(range(200))
NUMBER = st.integers(-3, 250) | st.sampled_from([1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").write_bytes(BYTES)
    return tmp_path


@pytest.fixture
def regions(folder: Path) -> Iterator[Regions]:
    found = Regions(owners=False, folder=folder)
    yield found
    found.unregister("", "")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(begin=NUMBER, size=NUMBER, offset=NUMBER, count=NUMBER, new=st.binary(max_size=60))
def test_bytes_are_those_of_the_file_and_none_beyond(
    folder: Path, begin: int, size: int, offset: int, count: int, new: bytes
) -> None:
    (folder / "images").write_bytes(BYTES)
    regions = Regions(owners=False, folder=folder)
    if not (begin >= 0 and size >= 1 and begin + size <= len(BYTES)):
        if begin >= 0 and size >= 0:  # the message has no negative ones
            with pytest.raises(InvalidRequest, match="has 200 bytes"):
                regions.register("", "one", "/images", begin, size)
        return
    regions.register("", "one", "/images", begin, size)
    region, view = regions.get("", "one"), BYTES[begin : begin + size]
    if offset >= 0 and count >= 0 and offset + count <= size:
        assert region.read(offset, count) == view[offset : offset + count]
    else:
        with pytest.raises(InvalidRequest, match=f"has {size} bytes"):
            region.read(offset, count)
    expected = BYTES
    if offset >= 0 and offset + len(new) <= size:
        region.write(offset, new)
        expected = BYTES[: begin + offset] + new + BYTES[begin + offset + len(new) :]
    else:
        with pytest.raises(InvalidRequest):
            region.write(offset, new)
    assert (folder / "images").read_bytes() == expected


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        ".",
        "..",
        "../images",
        "/a/b",
        "//images",
        "a\0b",
        "x" * 300,
        "sem.lock",
        "link",
        "folder",
        "pipe",
        "no",
    ],
)
def test_keys_that_are_no_shared_memory(regions: Regions, folder: Path, key: str) -> None:
    (folder / "link").symlink_to(folder / "images")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "sem.lock").write_bytes(BYTES)
    with pytest.raises(InvalidRequest) as caught:
        regions.register("", "one", key, 0, 10)
    assert caught.value.field == "key"
    assert regions.all("") == []


def test_memory_that_became_smaller_is_an_error(regions: Regions, folder: Path) -> None:
    regions.register("", "one", "images", 0, 200)
    os.truncate(folder / "images", 100)
    region = regions.get("", "one")
    assert region.read(0, 100) == BYTES[:100]
    with pytest.raises(InvalidRequest, match="has become smaller since it was registered"):
        region.read(50, 100)
    with pytest.raises(InvalidRequest, match="has become smaller"):
        region.write(50, bytes(100))
    assert (folder / "images").stat().st_size == 100


def test_a_region_is_closed_when_its_last_request_has_ended(regions: Regions) -> None:
    regions.register("", "one", "images", 0, 200)
    region: Region | None = regions.get("", "one")
    assert region is not None
    file = region.file
    regions.unregister("", "one")
    assert region.read(0, 3) == BYTES[:3]
    region = None
    with pytest.raises(OSError):
        os.fstat(file)


def test_numbers_and_names_are_limited(regions: Regions) -> None:
    for place in range(MAX_OF_OWNER):
        regions.register("", f"{place}", "images", 0, 1)
    with pytest.raises(InvalidRequest, match=f"at most {MAX_OF_OWNER}"):
        regions.register("", "more", "images", 0, 1)
    for owner in ("a", "b", "c"):
        for place in range(MAX_OF_OWNER):
            regions.register(owner, f"{place}", "images", 0, 1)
    with pytest.raises(InvalidRequest, match=f"of {MAX_REGIONS}"):
        regions.register("d", "one", "images", 0, 1)
    for owner in ("a", "b", "c"):
        regions.unregister(owner, "")
    with pytest.raises(InvalidRequest, match="already"):
        regions.register("", "3", "images", 0, 1)
    with pytest.raises(InvalidRequest, match="1 to 255 characters"):
        regions.register("", "", "images", 0, 1)


def test_owners_have_names_and_keys_of_their_own(folder: Path) -> None:
    regions = Regions(owners=True, folder=folder)
    for key in ("ann:images", "bob:images"):
        (folder / key).write_bytes(BYTES)
    regions.register("ann", "input", "/ann:images", 0, 200)
    with pytest.raises(InvalidRequest, match="begins with its name and a colon: /bob:ann:images"):
        regions.register("bob", "input", "/ann:images", 0, 200)
    with pytest.raises(InvalidRequest, match="no region 'input' is registered; yours: none"):
        regions.get("bob", "input")
    regions.register("bob", "input", "/bob:images", 0, 100)
    regions.unregister("bob", "")
    assert [one.key for one in regions.all("ann")] == ["ann:images"]


async def adopt(regions: Regions, folder: Path) -> Regions:
    other = Regions(owners=False, folder=folder)
    await other.adopt(regions.state())
    return other


def test_another_worker_adopts_the_same_memory_and_no_other(regions: Regions, folder: Path) -> None:
    (folder / "second").write_bytes(BYTES)
    regions.register("", "one", "images", 10, 20)
    regions.register("", "two", "second", 0, 20)
    (folder / "third").write_bytes(BYTES)
    (folder / "third").rename(folder / "second")
    other = asyncio.run(adopt(regions, folder))
    assert [(one.name, one.offset, one.byte_size) for one in other.all("")] == [("one", 10, 20)]
    assert other.get("", "one").read(0, 3) == BYTES[10:13]
