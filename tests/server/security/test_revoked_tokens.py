"""Tokens that are taken back end what was opened with them; a server without tokens says so; a failed core stops it."""

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue

import grpc
import pytest
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.app import serve
from resprobe_server.config import Config
from resprobe_server.errors import StartError
from resprobe_server.rpc.core import Core

from tests.support.calls import REQUEST
from tests.support.servers import Serve


def write(path: Path, rights: dict[str, str]) -> Path:
    new = path.with_suffix(".new")
    new.write_text(
        "".join(
            f'[{name}]\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\nrights = [{right}]\n'
            for name, right in rights.items()
        )
    )
    return new.replace(path)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"other": '"classify"'}, grpc.StatusCode.UNAUTHENTICATED),
        ({"me": "", "other": '"classify"'}, grpc.StatusCode.PERMISSION_DENIED),
    ],
)
def test_a_token_that_is_gone_ends_its_streams_without_another_call(
    start: Serve, repository: Path, tmp_path: Path, changed: dict[str, str], code: grpc.StatusCode
) -> None:
    tokens = write(tmp_path / "tokens.toml", {"me": '"classify"', "other": '"classify"'})
    with start(repository, tokens=tokens) as address, grpc.insecure_channel(address) as channel:
        stub = ResidualServiceStub(channel)
        mine, others = (Stream(stub, name) for name in ("me", "other"))
        write(tokens, changed)
        with pytest.raises(grpc.RpcError) as caught:
            next(mine.answers)
        assert caught.value.code() == code
        others.ask()


class Stream:
    """A stream of a caller that was answered once and stays open."""

    def __init__(self, stub: ResidualServiceStub, token: str) -> None:
        self._requests: SimpleQueue[pb.ClassifyRequest] = SimpleQueue()
        metadata = (("authorization", f"Bearer {token}"),)
        self.answers = stub.ClassifyStream(iter(self._requests.get, None), metadata=metadata, timeout=60)
        self.ask()

    def ask(self) -> None:
        self._requests.put(REQUEST)
        assert len(next(self.answers).results) == 1


def lines(*arguments: str) -> list[dict[str, object]]:
    """Returns what a server logs up to `started` and the line after it."""
    command = [sys.executable, "-m", "resprobe_server", *arguments, "--address", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = []
        for line in process.stderr:
            found.append(json.loads(line))
            if str(found[-1]["event"]).startswith("no --tokens"):
                break
        process.kill()
    return found


def test_a_server_without_tokens_says_what_every_client_may_call(repository: Path) -> None:
    line = lines(str(repository))[-1]
    assert "inference.GRPCInferenceService/ModelInfer" in line["methods"]  # type: ignore[operator]
    assert "inference.GRPCInferenceService/RepositoryModelLoad" in line["refused_without_mode_explicit"]  # type: ignore[operator]


BUSY = """
import sys, time
from contextlib import contextmanager
import resprobe_server.app as app
from resprobe_server.__main__ import main
decoders = app._decoders

@contextmanager
def busy(config):
    with decoders(config) as found:
        found.threads.submit(time.sleep, 1000)
        yield found

app._decoders = busy
main()
"""


def test_the_process_ends_whatever_is_being_decoded(repository: Path) -> None:
    command = [sys.executable, "-c", BUSY, str(repository), "--address", "127.0.0.1:0", "--drain", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            while json.loads(process.stderr.readline())["event"] != "started":
                pass
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


async def fail_in(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(config) as port:
        monkeypatch.setattr(Core, "accept", lambda _: 1 / 0)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary("/t.T/none")(b"", timeout=1)  # type: ignore[arg-type]
        await asyncio.Event().wait()


def test_a_failure_of_core_ends_the_server(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StartError, match="core failed"):
        asyncio.run(fail_in(Config(repository, address="127.0.0.1:0"), monkeypatch))
