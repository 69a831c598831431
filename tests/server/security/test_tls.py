"""TLS and mutual TLS over real connections; files that cannot be used; and the refusal of plaintext on the network."""

import asyncio
import shutil
import socket
import ssl
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
from grpc_health.v1 import health_pb2, health_pb2_grpc
from resprobe_server.errors import StartError

from tests.support.access import AUTHORITY, STRANGER, call, directory, write_certificate, write_tokens
from tests.support.servers import Serve

IMAGE = np.zeros((8, 8, 1), np.uint8)
LIST = "/resprobe.v1.ResidualService/ListModels"


def common_name(address: str) -> str:
    """Returns the common name in the certificate that a new connection gets."""
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
