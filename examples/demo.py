"""The whole path on real input: train ResNet-20 on digits, serve it, classify pictures, see what each block did.

Runs the project's commands as a person would type them, prints them, and leaves their files in .demo/.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from resprobe import datasets

PLACE = Path(".demo")
SCRIPTS = Path(sys.executable).parent
PICTURES = 4


def run(*command: str) -> None:
    """Runs a command of the project; the demo ends if it fails."""
    print(f"\n$ {' '.join(command)}", flush=True)
    subprocess.run([SCRIPTS / command[0], *command[1:]], check=True)


@contextmanager
def server(models: Path) -> Iterator[str]:
    """A context with a server on a free port: yields its address, and stops the server with SIGTERM."""
    command = ["resprobe-server", str(models), "--address", "127.0.0.1:0"]
    print(f"\n$ {' '.join(command)} &", flush=True)
    with subprocess.Popen([SCRIPTS / command[0], *command[1:]], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield f"127.0.0.1:{_port(process.stderr)}"
        finally:
            process.terminate()
            for line in process.stderr:
                print(line, end="")
    if process.returncode != 0:
        raise SystemExit(f"the server exited with {process.returncode}")


def _port(log: Iterator[str]) -> int:
    for line in log:
        print(line, end="", flush=True)
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "started":
            return int(event["port"])
    raise SystemExit("the server did not start; its log is above")


def write_pictures() -> list[str]:
    """Writes the first test images of the digits as PNG files."""
    digits = datasets.load("digits")
    paths: list[str] = []
    for image, label in zip(digits.images[:PICTURES], digits.labels, strict=False):
        path = PLACE / f"a-{digits.classes[label]}-{len(paths)}.png"
        Image.fromarray(image[..., 0]).save(path)
        paths.append(str(path))
    return paths


def main() -> None:
    """Runs the demo."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    models, plot = PLACE / "models", PLACE / "blocks.svg"
    run("exporter", "build", "--depth", "20", "--repository", str(models))
    run("exporter", "inspect", str(models / "resnet20" / "1"), "--dataset", "digits")
    pictures = write_pictures()
    with server(models) as address:
        run("resprobe", "models", "--address", address)
        run("resprobe", "classify", *pictures, "--address", address)
        run("resprobe", "blocks", pictures[0], "--address", address)
        run("resprobe", "blocks", "--dataset", "digits", "--plot", str(plot), "--address", address)
    print(f"\nThe ratio of every block over the test images is drawn in {plot}")
    print(f"Live, in a browser: resprobe-server {models} & resprobe page (both in {SCRIPTS})")


if __name__ == "__main__":
    main()
