"""Memory is given back when a model leaves."""

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import turns_program

ROOT = Path(__file__).parents[4]


@pytest.mark.long
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library cannot give memory back")
def test_twenty_turns_of_loads_leave_the_resident_size_as_it_was(models: Path) -> None:
    command = [sys.executable, "-P", turns_program.__file__, str(models)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=600)
    sizes = json.loads(done.stdout)[1:]  # the first one holds what is made once
    assert len(sizes) == turns_program.TURNS - 1
    assert max(sizes) <= 1.05 * min(sizes), [size >> 20 for size in sizes]
