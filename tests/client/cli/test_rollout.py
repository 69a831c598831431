"""`resprobe shadow`, `promote` and `rollback`, against a real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import resprobe

from tests.support.commands import Run
from tests.support.servers import Serve
from tests.support.waiting import until


@pytest.fixture
def where(start: Serve, repository: Path) -> Iterator[str]:
    """Address of a server whose model digits has two versions with the same content."""
    with start(repository) as address:
        yield address


def test_from_a_candidate_to_a_promotion_and_back(run: Run, where: str) -> None:
    at = ("--address", where)
    code, out, _ = run("resprobe", "shadow", "digits", "--candidate", "2", "--share", "1", *at)
    assert code == 0
    assert "digits version 2 against 1, on 100.00% of the images and for 0.00% of the requests" in out
    rules = ("--promote-if", "agreement>=0.8", "images>=20", "moved<=0.01", "failed<=0")
    code, out, _ = run("resprobe", "shadow", "digits", *rules, *at)
    assert (code, out.splitlines()[-1]) == (2, "verdict: not decided yet: more images")

    def compared() -> bool:
        _, out, _ = run("resprobe", "shadow", "digits", "--json", *at)
        return bool(json.loads(out)["images"] == 20)

    with resprobe.Client(where) as client:
        assert client.classify(np.zeros((20, 8, 8, 1), np.uint8), model="digits").version == "1"
        until(compared)
        code, out, _ = run("resprobe", "shadow", "digits", *rules, *at)
        assert (code, out.splitlines()[-1]) == (0, "verdict: promote it"), out
        assert "the same class for 100.00%" in out
        code, out, _ = run("resprobe", "shadow", "digits", "--promote-if", "slower<=0.01", "--json", *at)
        assert (code, json.loads(out)["verdict"]) == (1, "broken")
        assert run("resprobe", "promote", "digits", *at)[:2] == (
            0,
            "digits: version 2 serves, and no longer version 1\n",
        )
        assert client.classify(np.zeros((8, 8, 1), np.uint8), model="digits").version == "2"
        code, out, _ = run("resprobe", "rollback", "digits", "--json", *at)
        assert json.loads(out) == {"model": "digits", "version": "1", "previous_version": "2"}
        assert client.classify(np.zeros((8, 8, 1), np.uint8), model="digits").version == "1"


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("shadow", "plain"), 2, "model plain has no candidate; `resprobe shadow plain --candidate VERSION` sets one"),
        (("shadow", "digits", "--share", "0.1"), 2, "expected --candidate VERSION with them"),
        (("shadow", "plain", "--candidate", "1"), 2, "version 1 is the only one of plain: nothing else could serve"),
        (("promote", "digits"), 1, "model digits has no candidate"),
        (("rollback", "digits"), 1, "no version of digits was promoted since the server was started"),
        (("rollback", "vgg"), 1, "no model 'vgg'"),
    ],
)
def test_failures(run: Run, address: str, arguments: tuple[str, ...], code: int, reason: str) -> None:
    found, _, error = run("resprobe", *arguments, "--address", address)
    assert found == code
    assert reason in error
