"""A repository of three models."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def models(repository: Path, tmp_path: Path) -> Path:
    """A repository of the models one, two and three, which are copies of `digits`."""
    for name in ("one", "two", "three"):
        shutil.copytree(repository / "digits" / "1", tmp_path / name / "1")
    return tmp_path
