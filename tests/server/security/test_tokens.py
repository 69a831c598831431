"""Tokens and their rights over real connections, and files of tokens that cannot be used."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.errors import StartError
from resprobe_server.security.tokens import NEEDS, read_callers

from tests.support.access import CALLERS, call, write_certificate, write_tokens
from tests.support.servers import Serve

IMAGE = np.zeros((8, 8, 1), np.uint8)


@pytest.fixture(scope="module")
def guarded(start: Serve, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    tokens = write_tokens(tmp_path_factory.mktemp("tokens") / "tokens.toml")
    with start(repository, tokens=tokens) as address, grpc.insecure_channel(address) as channel:
        yield channel


UNKNOWN, FORBIDDEN, OK = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.OK
PIXELS = pb.Image(pixels=pb.Pixels(height=8, width=8, channels=1, data=bytes(64)))
BASIC = pb.ClassifyRequest(model="digits", images=[PIXELS])
BLOCKS = pb.ClassifyRequest(model="digits", images=[PIXELS], view=pb.VIEW_BLOCKS)
SCALED = pb.ClassifyRequest(model="digits", images=[PIXELS], block_scale=[1, 1, 1])
CLASSIFY, LIST = "/resprobe.v1.ResidualService/Classify", "/resprobe.v1.ResidualService/ListModels"
LOAD = "/inference.GRPCInferenceService/RepositoryModelLoad"
HEALTH = "/grpc.health.v1.Health/Check"


@pytest.mark.parametrize(
    ("token", "method", "request_", "code", "text"),
    [
        (None, CLASSIFY, BASIC, UNKNOWN, "send the metadata `authorization: Bearer TOKEN`"),
        (None, LIST, None, UNKNOWN, "wants a token"),
        (None, LOAD, None, UNKNOWN, "wants a token"),
        (None, HEALTH, None, OK, ""),
        ("Bearer wrong", HEALTH, None, OK, ""),
        ("Bearer wrong", CLASSIFY, BASIC, UNKNOWN, "not one of those that this server knows"),
        ("Bearer ", CLASSIFY, BASIC, UNKNOWN, "wants a token"),
        ("a-all", CLASSIFY, BASIC, UNKNOWN, "wants a token"),
        ("Basic a-all", CLASSIFY, BASIC, UNKNOWN, "wants a token"),
        ("bearer a-classifier", CLASSIFY, BASIC, OK, ""),
        ("Bearer a-reader", LIST, None, OK, ""),
        ("Bearer a-reader", CLASSIFY, BASIC, FORBIDDEN, "the right classify, which the token of reader does not have"),
        ("Bearer a-keeper", CLASSIFY, BASIC, FORBIDDEN, "it has: repository"),
        ("Bearer a-classifier", CLASSIFY, BLOCKS, FORBIDDEN, "needs the right analyse"),
        ("Bearer a-classifier", CLASSIFY, SCALED, FORBIDDEN, "needs the right analyse"),
        ("Bearer a-analyst", CLASSIFY, BLOCKS, OK, ""),
        ("Bearer a-analyst", LOAD, None, FORBIDDEN, "needs the right repository"),
        ("Bearer a-analyst", "/a.New/Method", None, FORBIDDEN, "needs the right repository"),
    ],
)
def test_rights(
    guarded: grpc.Channel,
    token: str | None,
    method: str,
    request_: pb.ClassifyRequest | None,
    code: grpc.StatusCode,
    text: str,
) -> None:
    found, message = call(guarded, method, request_.SerializeToString() if request_ else b"", token)
    assert found == code
    assert text in message


def test_the_right_to_the_repository_opens_it(guarded: grpc.Channel) -> None:
    assert call(guarded, LOAD, b"", "Bearer a-keeper")[0] not in (UNKNOWN, FORBIDDEN)


def test_a_stream_answers_each_request_by_the_rights_of_its_caller(guarded: grpc.Channel) -> None:
    stub = ResidualServiceStub(guarded)
    answers = stub.ClassifyStream(iter([BASIC, BLOCKS, BASIC]), metadata=(("authorization", "Bearer a-classifier"),))
    codes = sorted(answer.error.code for answer in answers)
    assert codes == [0, 0, FORBIDDEN.value[0]]
    with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
        next(stub.ClassifyStream(iter([BASIC])))


def test_every_method_that_is_served_has_its_need_written_down(guarded: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
        ProtoReflectionDescriptorDatabase(guarded).get_services()

    class WithToken(grpc.StreamStreamClientInterceptor):
        def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
            return continuation(details._replace(metadata=(("authorization", "Bearer a-reader"),)), requests)

    database = ProtoReflectionDescriptorDatabase(grpc.intercept_channel(guarded, WithToken()))
    services = database.get_services()
    assert "resprobe.v1.ResidualService" in services
    for name in services:
        descriptor = database.FindFileContainingSymbol(name)
        service = next(one for one in descriptor.service if f"{descriptor.package}.{one.name}" == name)
        for method in service.method:
            assert f"{name}/{method.name}" in NEEDS


def test_tokens_are_read_again_when_they_change(start: Serve, repository: Path, tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.toml")
    with start(repository, tokens=tokens) as address, resprobe.Client(address, token="a-reader") as client:
        assert client.models()
        tokens.write_text("half a fi")  # cannot be used: what was known stays known
        assert client.models()
        write_tokens(tokens, {"all": ["classify"]})
        with pytest.raises(resprobe.Unauthorized, match="not one of those"):
            client.models()
        write_tokens(tokens, CALLERS)
        assert client.models()


def test_clients_send_tokens(start: Serve, repository: Path, tmp_path: Path, ca: Path) -> None:
    async def ask(address: str) -> resprobe.Result:
        async with resprobe.AsyncClient(address, ca=ca, token="a-classifier") as client:
            return await client.classify(IMAGE, model="digits")

    cert, key = write_certificate(tmp_path, "server")
    tokens = write_tokens(tmp_path / "tokens.toml")
    with start(repository, tls_cert=cert, tls_key=key, tokens=tokens) as address:
        assert len(asyncio.run(ask(address))) == 1
        with resprobe.Client(address, ca=ca, token="a-classifier") as client:
            with pytest.raises(resprobe.Unauthorized, match="the right analyse") as caught:
                client.classify(IMAGE, model="digits", blocks=True)
            assert caught.value.status == "PERMISSION_DENIED"
        with resprobe.Client(address, ca=ca) as client, pytest.raises(resprobe.Unauthorized) as caught:
            client.models()
        assert caught.value.status == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token": "secret"}, "the token would cross the network to example.com:1 in plaintext"),
        ({"ca": "/none/ca.pem"}, "cannot read /none/ca.pem: No such file"),
        ({"certificate": ("/none/cert.pem", "/none/key.pem")}, "cannot read /none/cert.pem: No such file"),
    ],
    ids=["token", "ca", "certificate"],
)
def test_what_a_client_refuses_at_once(options: dict[str, Any], message: str) -> None:
    for kind in (resprobe.Client, resprobe.AsyncClient):
        with pytest.raises(resprobe.InvalidRequest, match=message):
            kind("example.com:1", **options)


DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no tokens"),
        ("[a", "is not TOML"),
        ("a = 1", r"\[a\]: expected sha256"),
        ('[a]\nsha256 = "x"', r"\[a\]: expected sha256"),
        (f'[a]\nsha256 = "{DIGEST}"\nrights = []\ntoken = "x"', "and nothing else"),
        ('[a]\nsha256 = "x"\nrights = []', "sha256 is not 64 hexadecimal digits"),
        (f'[a]\nsha256 = "{DIGEST}"\nrights = ["admin"]', "there is no right 'admin'; there are: classify, analyse"),
        (
            f'[a]\nsha256 = "{DIGEST}"\nrights = []\n[b]\nsha256 = "{DIGEST}"\nrights = []',
            "two callers have the same token",
        ),
    ],
    ids=["empty", "syntax", "value", "no rights", "extra", "digest", "right", "twice"],
)
def test_a_file_of_tokens_that_cannot_be_used_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(StartError, match=message):
        read_callers(path)
