"""RESPROBE_ADDRESS, RESPROBE_CA and RESPROBE_TOKEN reach the server from the command, each by itself and together."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.servers import Serve

TOKEN = "a token of a test"


@pytest.fixture
def environment(start: Serve, repository: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables for a server with TLS of an authority of its own, and tokens."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    (tmp_path / "tokens.toml").write_text(f'[me]\nsha256 = "{digest}"\nrights = ["classify"]\n')
    options = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem", "tokens": tmp_path / "tokens.toml"}
    with start(repository, **options) as address:
        yield {"RESPROBE_ADDRESS": address, "RESPROBE_CA": str(tmp_path / "ca.pem"), "RESPROBE_TOKEN": TOKEN}


def models(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "resprobe", "models", "--json", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_all_three_reach_the_server(environment: dict[str, str]) -> None:
    done = models(environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RESPROBE_TOKEN": ""}, "token"),
        ({"RESPROBE_TOKEN": "another token"}, "token"),
        ({"RESPROBE_CA": "/nowhere/ca.pem"}, "cannot read /nowhere/ca.pem: No such file or directory"),
    ],
    ids=["no token", "wrong token", "no file"],
)
def test_each_is_needed(environment: dict[str, str], change: dict[str, str], message: str) -> None:
    done = models(environment | change)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert TOKEN not in done.stderr


def test_an_option_goes_before_its_variable(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    wrong = environment | {"RESPROBE_TOKEN": "another", "RESPROBE_CA": "/nowhere", "RESPROBE_ADDRESS": "127.0.0.1:1"}
    options = ["--address", environment["RESPROBE_ADDRESS"], "--ca", environment["RESPROBE_CA"]]
    done = models(wrong, *options, "--token-file", str(tmp_path / "token"))
    assert (done.returncode, done.stderr) == (0, "")
