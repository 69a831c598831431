"""A tiny study that is run once for all tests of this folder."""

from pathlib import Path

import pytest
from resprobe_exporter.study import run_study

from tests.support.study import TINY


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny study."""
    directory = tmp_path_factory.mktemp("study")
    run_study(TINY, directory)
    return directory
