"""TLS, mutual TLS, tokens and their rights over real connections; and the refusal of plaintext on the network."""

import asyncio
import hashlib
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import given
from hypothesis import strategies as st
from resprobe._wire.address import is_loopback
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub
from resprobe_server.errors import StartError
from resprobe_server.security.tokens import NEEDS, read_callers

from tests.support.servers import Serve

IMAGE = np.zeros((8, 8, 1), np.uint8)
AUTHORITY, STRANGER = trustme.CA(), trustme.CA()


def write_certificate(directory: Path, name: str, authority: trustme.CA = AUTHORITY) -> tuple[Path, Path]:
    """A certificate for localhost with this common name, and its key; replaces what was there."""
    issued = authority.issue_cert("localhost", "127.0.0.1", common_name=name)
    new = directory / "new"
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    for target, content in (("cert.pem", chain), ("key.pem", issued.private_key_pem.bytes())):
        new.write_bytes(content)
        new.replace(directory / target)
    return directory / "cert.pem", directory / "key.pem"


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def directory(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


def common_name(address: str) -> str:
    """In the certificate that a new connection gets."""
    context = ssl.create_default_context(cadata=AUTHORITY.cert_pem.bytes().decode())
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain, server_hostname=host) as tls:
        certificate = tls.getpeercert()
        assert certificate is not None
        subject: Any = certificate["subject"]
        return str(dict(pair for part in subject for pair in part)["commonName"])


def test_both_clients_talk_tls_and_notice_what_is_wrong(
    start: Serve, repository: Path, tmp_path: Path, ca: Path
) -> None:
    async def ask(address: str) -> resprobe.Result:
        async with resprobe.AsyncClient(address, ca=ca) as client:
            return await client.classify(IMAGE, model="digits")

    cert, key = write_certificate(tmp_path, "server")
    with start(repository, tls_cert=cert, tls_key=key) as address:
        with resprobe.Client(address, ca=ca) as client:
            assert client.classify(IMAGE, model="digits").labels == asyncio.run(ask(address)).labels
        with (
            resprobe.Client(address, tls=True) as client,
            pytest.raises(resprobe.ServerUnavailable, match="certificate is not from a trusted authority"),
        ):
            client.models()
        with resprobe.Client(address) as client, pytest.raises(resprobe.ServerUnavailable, match="if it wants TLS"):
            client.models()


def test_tls_to_a_server_without_it_says_so(address: str, ca: Path) -> None:
    with (
        resprobe.Client(address, ca=ca) as client,
        pytest.raises(resprobe.ServerUnavailable, match="does not speak TLS"),
    ):
        client.models()


def test_a_new_connection_gets_the_renewed_certificate(
    start: Serve, repository: Path, tmp_path: Path, ca: Path
) -> None:
    cert, key = write_certificate(tmp_path, "first")
    other = directory(tmp_path, "other")
    with start(repository, tls_cert=cert, tls_key=key) as address, resprobe.Client(address, ca=ca) as client:
        assert client.models()
        assert common_name(address) == "first"
        write_certificate(tmp_path, "second")
        assert common_name(address) == "second"
        shutil.copy(write_certificate(other, "third")[1], key)  # a key without its certificate: half renewed
        assert common_name(address) == "second"
        shutil.copy(other / "cert.pem", cert)
        assert common_name(address) == "third"
        cert.unlink()
        assert common_name(address) == "third"
        assert client.models()  # the old connection goes on


def test_mutual_tls_lets_in_who_has_a_certificate(start: Serve, repository: Path, tmp_path: Path, ca: Path) -> None:
    cert, key = write_certificate(tmp_path, "server")
    known = write_certificate(directory(tmp_path, "known"), "client")
    unknown = write_certificate(directory(tmp_path, "unknown"), "client", STRANGER)
    with start(repository, tls_cert=cert, tls_key=key, tls_client_ca=ca) as address:
        with resprobe.Client(address, ca=ca, certificate=known) as client:
            assert len(client.classify(IMAGE, model="digits")) == 1
        for certificate in (None, unknown):
            with (
                resprobe.Client(address, ca=ca, certificate=certificate) as client,
                pytest.raises(resprobe.ServerUnavailable),
            ):
                client.models(timeout=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tls_cert": "cert.pem"}, "TLS needs both --tls-cert and --tls-key"),
        ({"tls_client_ca": "cert.pem"}, "TLS needs both --tls-cert and --tls-key"),
        ({"tls_cert": "none.pem", "tls_key": "key.pem"}, "cannot read the certificate in .*none.pem: No such file"),
        ({"tls_cert": "cert.pem", "tls_key": "none.pem"}, "cannot read the key in .*none.pem: No such file"),
        ({"tls_cert": "cert.pem", "tls_key": "other/key.pem"}, "the key in .* does not belong to the certificate in"),
        ({"tls_cert": "key.pem", "tls_key": "key.pem"}, "are not a certificate and its key in PEM"),
        (
            {"tls_cert": "cert.pem", "tls_key": "key.pem", "tls_client_ca": "key.pem"},
            "key.pem holds no certificates in PEM",
        ),
        ({"tokens": "none.toml"}, "cannot read the tokens in .*none.toml: No such file"),
        ({"health_address": "1.2.3.4.5:6"}, r"cannot listen at 1\.2\.3\.4\.5:6"),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_files_that_cannot_be_used_are_a_start_error(
    start: Serve, repository: Path, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    write_certificate(tmp_path, "server")
    write_certificate(directory(tmp_path, "other"), "other")
    paths = {name: value if name == "health_address" else tmp_path / value for name, value in options.items()}
    with pytest.raises(StartError, match=message), start(repository, **paths):
        pass


def test_an_encrypted_key_is_a_start_error_and_asks_nobody(start: Serve, repository: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    cert, key = write_certificate(tmp_path, "server")
    secret = serialization.load_pem_private_key(key.read_bytes(), None)
    kind = serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(secret.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind))
    with pytest.raises(StartError, match="is encrypted"), start(repository, tls_cert=cert, tls_key=key):
        pass


@pytest.mark.parametrize("where", ["0.0.0.0:0", "[::]:0", "a-host:0", "ipv4:0.0.0.0:0"])
def test_plaintext_on_the_network_is_refused(start: Serve, repository: Path, where: str) -> None:
    sentence = r"can be reached from other machines.*--tls-cert.*--insecure-plaintext"
    with pytest.raises(StartError, match=sentence), start(repository, at=where):
        pass


def test_plaintext_on_the_network_is_served_if_it_is_wished(start: Serve, repository: Path) -> None:
    with start(repository, at="0.0.0.0:0", insecure_plaintext=True) as address, resprobe.Client(address) as client:
        assert client.models()


def test_a_unix_socket_needs_no_tls(start: Serve, repository: Path, tmp_path: Path) -> None:
    where = f"unix:{tmp_path}/socket"
    tokens = write_tokens(tmp_path / "tokens.toml")
    with start(repository, at=where, tokens=tokens), resprobe.Client(where, token="a-all") as client:
        assert client.models()


@pytest.mark.parametrize(
    "address",
    [
        *("localhost:1", "LOCALHOST:1", "127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "::1", "[::ffff:127.0.0.1]:1"),
        *("unix:/run/a", "unix:///run/a", "unix-abstract:a", "dns:localhost:1", "dns:///localhost:1"),
        *("ipv4:127.0.0.1:1,127.0.0.2:1", "ipv6:[::1]:1"),
    ],
)
def test_what_stays_on_this_machine(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0:1", "[::]:1", ":1", "", "host:1", "10.0.0.1:1", "127.0.0.1.evil.com:1", "localhost.evil.com:1"),
        *("127.0.0.1%2eevil.com:1", "ipv4:127.0.0.1:1,10.0.0.1:1", "dns://127.0.0.1/evil.com:1", "vsock:1:1"),
        *("[::ffff:10.0.0.1]:1", "xds:///localhost:1", "dns:evil.com:1"),
    ],
)
def test_what_leaves_this_machine(address: str) -> None:
    assert not is_loopback(address)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=4, network="127.0.0.0/8"), st.integers(1, 65535))
def test_an_ip_address_is_loopback_however_it_is_written(ip: Any, port: int) -> None:
    expected = str(ip).startswith("127.")
    for written in (f"{ip}:{port}", f"ipv4:{ip}:{port}", f"dns:///{ip}:{port}", f"[::ffff:{ip}]:{port}"):
        assert is_loopback(written) == expected


CALLERS = {
    "all": ["classify", "analyse", "repository"],
    "classifier": ["classify"],
    "analyst": ["classify", "analyse"],
    "keeper": ["repository"],
    "reader": [],
}


def write_tokens(path: Path, callers: dict[str, list[str]] = CALLERS) -> Path:
    """A file where the token of each caller is a- and its name."""
    tables = [
        f'[{name}]\nsha256 = "{hashlib.sha256(f"a-{name}".encode()).hexdigest()}"\nrights = {rights}\n'
        for name, rights in callers.items()
    ]
    path.write_text("\n".join(tables))
    return path


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


def call(channel: grpc.Channel, method: str, request: bytes, token: str | None) -> tuple[grpc.StatusCode, str]:
    metadata = () if token is None else (("authorization", token),)
    try:
        send: Any = channel.unary_unary(method)
        send(request, metadata=metadata)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        return error.code(), error.details() or ""
    return OK, ""


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


def test_health_has_a_port_of_its_own_for_probes_without_tls(
    start: Serve, repository: Path, tmp_path: Path, ca: Path
) -> None:
    cert, key = write_certificate(tmp_path, "server")
    where = f"unix:{tmp_path}/health"
    options = {"tls_cert": cert, "tls_key": key, "tls_client_ca": ca, "health_address": where}
    with start(repository, **options), grpc.insecure_channel(where) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        found = health.Check(health_pb2.HealthCheckRequest(service="digits"))
        assert found.status == health_pb2.HealthCheckResponse.SERVING
        assert call(channel, LIST, b"", None)[0] == grpc.StatusCode.UNIMPLEMENTED


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
