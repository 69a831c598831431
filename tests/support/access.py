"""Certificates and tokens for tests: an authority, what it signs, and a file of tokens with their rights."""

import hashlib
from pathlib import Path
from typing import Any

import grpc
import trustme

AUTHORITY, STRANGER = trustme.CA(), trustme.CA()


def write_certificate(directory: Path, name: str, authority: trustme.CA = AUTHORITY) -> tuple[Path, Path]:
    """Writes a certificate for localhost with this common name, and its key; replaces what was there."""
    issued = authority.issue_cert("localhost", "127.0.0.1", common_name=name)
    new = directory / "new"
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    for target, content in (("cert.pem", chain), ("key.pem", issued.private_key_pem.bytes())):
        new.write_bytes(content)
        new.replace(directory / target)
    return directory / "cert.pem", directory / "key.pem"


def directory(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


CALLERS = {
    "all": ["classify", "analyse", "repository"],
    "classifier": ["classify"],
    "analyst": ["classify", "analyse"],
    "keeper": ["repository"],
    "reader": [],
}


def write_tokens(path: Path, callers: dict[str, list[str]] = CALLERS) -> Path:
    """Writes a file where the token of each principal is a- and its name."""
    tables = [
        f'[{name}]\nsha256 = "{hashlib.sha256(f"a-{name}".encode()).hexdigest()}"\nrights = {rights}\n'
        for name, rights in callers.items()
    ]
    path.write_text("\n".join(tables))
    return path


def call(channel: grpc.Channel, method: str, request: bytes, token: str | None) -> tuple[grpc.StatusCode, str]:
    metadata = () if token is None else (("authorization", token),)
    try:
        send: Any = channel.unary_unary(method)
        send(request, metadata=metadata)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""
