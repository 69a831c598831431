"""Fixtures of the tests of calls."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """Events that are logged during the test."""
    quiet = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.BoundLogger)
    with capture_logs() as found:
        yield found
    structlog.configure(wrapper_class=quiet)
