"""Both clients: a test with one of these fixtures is run against Client, and against AsyncClient behind its surface."""

from collections.abc import Iterator
from typing import Any

import pytest
import resprobe

from tests.support.clients import Blocking, Connect


@pytest.fixture(params=[resprobe.Client, Blocking], ids=["Client", "AsyncClient"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Opens a client."""
    kind: Any = request.param
    return kind  # type: ignore[no-any-return]


@pytest.fixture
def either(connect: Connect, address: str) -> Iterator[resprobe.Client]:
    """A client of the server that all tests share."""
    with connect(address) as client:
        yield client
