"""A repository of one version."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    """A repository with version 1 of `digits`."""
    shutil.copytree(repository / "digits" / "1", tmp_path / "digits" / "1")
    return tmp_path
