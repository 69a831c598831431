"""The committed stubs are what the generator writes."""

import subprocess
import sys
from pathlib import Path

PROTOS = Path(__file__).parents[2] / "protos"


def test_the_committed_stubs_are_up_to_date(tmp_path: Path) -> None:
    descriptors = tmp_path / "resprobe.binpb"
    subprocess.run([sys.executable, PROTOS / "generate.py", tmp_path, descriptors], check=True, capture_output=True)
    written = {path.name: path.read_text() for path in (tmp_path / "resprobe_protos").iterdir()}
    committed = {path.name: path.read_text() for path in (PROTOS / "resprobe_protos").glob("*_pb2*")}
    assert written == committed, "run `make protos`"
    shipped = PROTOS.parent / "deploy" / "resprobe.binpb"
    assert descriptors.read_bytes() == shipped.read_bytes(), "run `make protos`"
