"""The command resprobe-server: how it starts, how it stops, and its errors."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import resprobe
from resprobe_protos import open_inference_pb2 as oip
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.errors import StartError
from resprobe_server.models.loader import Loader
from resprobe_server.models.repository import Found
from resprobe_server.models.version import Version

from tests.support.servers import Serve


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A running process, and the port that its log names."""
    command = [sys.executable, "-m", "resprobe_server", *arguments, "--address", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                event = json.loads(line)
                if event["event"] == "started":
                    yield process, event["port"]
                    return
            pytest.fail("the server did not start")
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def accepted(port: int, images: int) -> Iterator[Iterator[pb.ClassifyResponse]]:
    """An open stream on which the server has accepted a long analysis: a later, urgent request was answered."""
    done = threading.Event()
    image = pb.Image(pixels=pb.Pixels(height=8, width=8, channels=1, data=bytes(64)))

    def requests() -> Iterator[pb.ClassifyRequest]:
        yield pb.ClassifyRequest(id="long", model="digits", images=[image] * images, view=pb.VIEW_BLOCKS)
        yield pb.ClassifyRequest(id="urgent", model="digits", images=[image])
        done.wait(60)

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answers = ResidualServiceStub(channel).ClassifyStream(requests())
        try:
            assert next(answers).id == "urgent"
            yield answers
        finally:
            done.set()


def test_it_finishes_what_was_accepted_and_exits_with_0(repository: Path) -> None:
    with running(str(repository), "--max-batch", "1", "--threads", "1") as (process, port):
        with accepted(port, images=2000) as answers:
            process.send_signal(signal.SIGTERM)
            answer = next(answers)
            assert (answer.id, len(answer.results)) == ("long", 2000)
            with pytest.raises(grpc.RpcError, match="the server is shutting down"):
                next(answers)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert json.loads(process.stderr.read().splitlines()[-1])["event"] == "stopped"


def test_a_stream_of_the_open_inference_protocol_is_finished_too(repository: Path) -> None:
    done = threading.Event()

    def requests() -> Iterator[oip.ModelInferRequest]:
        for number in range(8):
            request = oip.ModelInferRequest(id=str(number), model_name="digits", raw_input_contents=[bytes(64 * 250)])
            request.inputs.add(name="image", datatype="UINT8", shape=[250, 8, 8, 1])
            yield request
        done.wait(60)

    with running(str(repository), "--max-batch", "1", "--threads", "1") as (process, port):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            answers = GRPCInferenceServiceStub(channel).ModelStreamInfer(requests())
            read = [next(answers)]
            process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.RpcError, match="the server is shutting down"):
                read.extend(answers)
            done.set()
        assert process.wait(30) == 0
    assert [answer.infer_response.id for answer in read] == [str(number) for number in range(len(read))]
    assert all(answer.infer_response.outputs[0].shape[0] == 250 for answer in read)


def test_no_call_is_lost_on_its_way_to_a_server_that_stops(start: Serve, repository: Path) -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    asking, ends = threading.Barrier(17), []

    def ask(client: resprobe.Client) -> None:
        client.classify(image, model="digits")
        asking.wait(30)
        try:
            while True:
                client.classify(image, model="digits")
        except resprobe.Error as error:
            ends.append(error)

    with ExitStack() as stack:
        with start(repository) as address:
            clients = [stack.enter_context(resprobe.Client(address)) for _ in range(16)]
            callers = [threading.Thread(target=ask, args=(client,)) for client in clients]
            for caller in callers:
                caller.start()
            asking.wait(30)
        for caller in callers:
            caller.join(30)
    assert [type(error) for error in ends] == 16 * [resprobe.ServerUnavailable]


def test_a_second_signal_stops_it_at_once(repository: Path) -> None:
    slow = "--max-batch", "1", "--threads", "1", "--max-images", "50000"
    with running(str(repository), *slow) as (process, port), accepted(port, images=50_000) as answers:
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.returncode == 1
        with pytest.raises(grpc.RpcError):
            next(answers)


def start_and_fail(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "resprobe_server", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    return done.returncode, done.stderr.splitlines()[-1]


def test_a_repository_without_models_is_an_error(tmp_path: Path) -> None:
    code, message = start_and_fail(str(tmp_path), "--address", "127.0.0.1:0")
    assert code == 1
    assert message == f"resprobe-server: {tmp_path} holds no NAME/VERSION/model.onnx; `exporter build` writes one"


def test_an_address_in_use_is_an_error(repository: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        code, message = start_and_fail(str(repository), "--address", where)
    assert code == 1
    assert f"cannot listen at {where}" in message


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_an_error(repository: Path) -> None:
    code, message = start_and_fail(str(repository), "--address", "127.0.0.1:0", "--device", "cuda")
    assert code == 1
    assert "--device cuda: there is no NVIDIA GPU here" in message


def test_a_version_that_does_not_load_leaves_the_others_serving(start: Serve, repository: Path, tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / "digits" / version).mkdir(parents=True)
    for file in (repository / "digits" / "1").iterdir():
        (tmp_path / "digits" / "1" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "digits" / "2" / "model.onnx").write_bytes(b"this is no graph")
    with start(tmp_path) as address, resprobe.Client(address) as client:
        assert [(model.name, model.version, model.is_default) for model in client.models()] == [("digits", "1", True)]


RESIDUAL = ("colour", 1), ("digits", 1), ("digits", 2)


def self_test(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "resprobe_server", *arguments, "--self-test"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr.splitlines()[-1]


def test_the_self_test_runs_every_graph(repository: Path) -> None:
    code, out, _ = self_test(str(repository), "--max-batch", "4", "--json")
    rows = json.loads(out)
    assert code == 0
    residual = "model.onnx", "probe.onnx", "lesion.onnx", "lesion_probe.onnx", "inspect.onnx"
    expected = [(model, version, graph) for model, version in RESIDUAL for graph in residual]
    assert [(row["model"], row["version"], row["graph"]) for row in rows] == [*expected, ("plain", 1, "model.onnx")]
    for row in rows:
        assert row["load"] > 0
        assert list(row["runs"]) == ["1", "4"]
        assert row["provider"].endswith("ExecutionProvider")


def test_the_self_test_names_what_does_not_load(repository: Path, tmp_path: Path) -> None:
    for version in ("1", "2"):
        shutil.copytree(repository / "digits" / "1", tmp_path / "digits" / version)
    (tmp_path / "digits" / "2" / "probe.onnx").write_bytes(b"this is no graph")
    code, out, last = self_test(str(tmp_path))
    assert (code, last) == (1, "resprobe-server: failed to load: digits version 2")
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [
        ["digits", "1", "model.onnx"],
        ["digits", "1", "probe.onnx"],
        ["digits", "1", "lesion.onnx"],
        ["digits", "1", "lesion_probe.onnx"],
        ["digits", "1", "inspect.onnx"],
        ["digits", "2", "failed"],
    ]


def test_a_value_in_the_environment_that_is_wrong_is_an_error(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESPROBE_SERVER_THREADS", "all")
    code, message = start_and_fail(str(repository))
    assert code == 1
    assert message == ("resprobe-server: environment: RESPROBE_SERVER_THREADS is 'all'; expected a whole number")


def test_nothing_that_loads_is_an_error(start: Serve, tmp_path: Path) -> None:
    (tmp_path / "digits" / "1").mkdir(parents=True)
    (tmp_path / "digits" / "1" / "model.onnx").write_bytes(b"this is no graph")
    with pytest.raises(StartError, match="none of the 1 model versions"), start(tmp_path):
        pass


def test_requests_while_models_are_loaded_are_told_to_come_back(
    start: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, begun, go = Loader.load, threading.Event(), threading.Event()
    ports: list[int] = []

    def slow(self: Loader, found: Found) -> Version:
        begun.set()
        assert go.wait(30)
        return load(self, found)

    monkeypatch.setattr(Loader, "load", slow)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports.append(free.getsockname()[1])
    address, ready = f"127.0.0.1:{ports[0]}", threading.Event()
    finish = threading.Event()

    def serve() -> None:
        with start(repository, at=address):
            ready.set()
            finish.wait(30)

    server = threading.Thread(target=serve)
    server.start()
    try:
        assert begun.wait(30)
        with resprobe.Client(address) as client:
            with pytest.raises(resprobe.ServerUnavailable, match="models are still being loaded"):
                client.classify(np.zeros((8, 8, 1), np.uint8), model="digits")
            go.set()
            assert ready.wait(30)
            assert len(client.classify(np.zeros((8, 8, 1), np.uint8), model="digits")) == 1
    finally:
        go.set()
        finish.set()
        server.join()
