"""The tour of the README, run as it stands, in a checkout of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)
SERVER = "resprobe-server models &"


def commands() -> list[str]:
    """What a reader types, in order; a Python example is one command."""
    found: list[str] = []
    tour = (ROOT / "README.md").read_text().partition("## Tour")[2].partition("\n## ")[0]
    for language, text in BLOCK.findall(tour):
        found += [text] if language == "python" else text.strip().splitlines()
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


@pytest.mark.long
def test_the_tour_works_as_it_is_written(checkout: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    script = ["set -euo pipefail"]
    for command in commands():
        if command.startswith("import resprobe"):
            (checkout / "example.py").write_text(command.replace('"localhost:50051"', "__import__('sys').argv[1]"))
            script.append("python example.py $RESPROBE_ADDRESS")
        elif command == SERVER:  # on a free port, and ended with the script
            script += [
                f"exec 3< <(exec {command.removesuffix(' &')} --address 127.0.0.1:0 2>&1)",
                "server=$!",
                "trap 'kill $server; wait $server' EXIT",
                "until [[ ${line-} == *started* ]]; do read -r line <&3; done",
                "export RESPROBE_ADDRESS=127.0.0.1:$(sed 's/.*\"port\": \\([0-9]*\\).*/\\1/' <<< $line)",
            ]
        else:  # fewer epochs: what is tested is that the command exists and works
            script.append(f"{command} --epochs 1" if command.startswith("exporter build") else command)
    assert len(commands()) == 8
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "stage3.block2  ‖F(x)‖ / ‖s(x)‖ = " in done.stdout
    assert {"stats.parquet", "blocks.svg", "models"} <= {path.name for path in checkout.iterdir()}
