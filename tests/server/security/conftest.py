"""Fixtures of the tests of security."""

from pathlib import Path

import pytest

from tests.support.access import AUTHORITY


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    """PEM file of the authority that signs certificates in tests."""
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"
