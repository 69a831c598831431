"""Pictures from standard input: `-` beside other files, and bytes that are not a picture."""

import io
import json
import sys
from pathlib import Path

import pytest

from tests.support.commands import Run


class Input:
    """Standard input with some bytes in it."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_a_picture_is_read_from_standard_input(
    run: Run, address: str, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ["--address", address, "--model", "digits", "--json"]
    (file,) = json.loads(run("resprobe", "classify", str(picture), *where)[1])
    monkeypatch.setattr(sys, "stdin", Input(picture.read_bytes()))
    code, out, error = run("resprobe", "classify", "-", str(picture), *where)
    assert (code, error) == (0, "")
    piped, again = json.loads(out)
    assert piped == {**file, "image": "standard input"}
    assert again == file
    monkeypatch.setattr(sys, "stdin", Input(picture.read_bytes()))
    code, out, _ = run("resprobe", "blocks", "-", *where[:-1])
    assert (code, "standard input" in out, "stage2.block0" in out) == (0, True, True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "standard input is empty; expected the bytes of a picture file"),
        (b"text", "standard input is 4 bytes that are not a JPEG"),
        (b"BM and then nothing", "standard input is damaged or cut short"),
    ],
    ids=["empty", "text", "bitmap"],
)
def test_what_is_wrong_with_it_is_one_sentence(
    run: Run, address: str, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Input(data))
    code, out, error = run("resprobe", "classify", "-", "--address", address, "--model", "digits")
    assert (code, out, len(error.splitlines())) == (1, "", 1)
    assert error.startswith(f"resprobe: {message}")


def test_it_may_be_closed(run: Run, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    code, _, error = run("resprobe", "classify", "-", "--address", address)
    assert (code, error) == (1, "resprobe: standard input is closed; expected the bytes of a picture file\n")
