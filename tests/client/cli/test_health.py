"""`resprobe health` against real servers: the status, its exit code, and no package of the server."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.support.commands import Run
from tests.support.servers import Serve


@pytest.mark.parametrize("model", [[], ["--model", "digits"], ["--model", "digits/1"]], ids=str)
def test_what_is_served_is_serving(run: Run, address: str, model: list[str]) -> None:
    assert run("resprobe", "health", "--address", address, *model) == (0, "SERVING\n", "")
    code, out, _ = run("resprobe", "health", "--address", address, *model, "--json")
    assert (code, json.loads(out)) == (0, {"status": "SERVING"})


@pytest.mark.parametrize(
    ("model", "message"), [("vgg", "serves no model 'vgg'"), ("digits/9", "model digits has no version '9'")]
)
def test_a_model_that_is_not_served(run: Run, address: str, model: str, message: str) -> None:
    code, out, error = run("resprobe", "health", "--address", address, "--model", model)
    assert (code, out, len(error.splitlines())) == (1, "", 1)
    assert message in error


def test_no_server_is_one_sentence(run: Run) -> None:
    code, out, error = run("resprobe", "health", "--address", "127.0.0.1:1")
    assert (code, out, len(error.splitlines())) == (1, "", 1)
    assert "127.0.0.1:1" in error


def test_a_server_without_models_is_serving(run: Run, start: Serve, tmp_path: Path) -> None:
    with start(tmp_path, mode="explicit") as address:
        assert run("resprobe", "health", "--address", address) == (0, "SERVING\n", "")
        assert run("resprobe", "models", "--address", address) == (0, f"{address} serves no models\n", "")


def test_what_is_not_serving_has_exit_code_1(run: Run) -> None:
    with ThreadPoolExecutor(1) as threads:
        server, servicer = grpc.server(threads), health.HealthServicer()
        servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            for more, out in (([], ""), (["--json"], '{"status": "NOT_SERVING"}\n')):
                found = run("resprobe", "health", "--address", address, *more)
                assert found == (1, out, f"resprobe: {address} is NOT_SERVING\n")
        finally:
            server.stop(None).wait(60)


PROGRAM = """
import sys

class Absent:
    def find_spec(self, name, path, target=None):
        if name in ("torch", "onnx", "onnxruntime", "uvloop", "grpc_reflection", "structlog", "prometheus_client"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from resprobe.__main__ import main
main()
"""


@pytest.mark.parametrize("words", [["health"], ["blocks", "--dataset", "digits", "--model", "digits"]], ids=str)
def test_commands_need_no_package_of_exporter_or_server(address: str, words: list[str]) -> None:
    command = [sys.executable, "-c", PROGRAM, *words, "--address", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
