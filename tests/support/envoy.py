"""Envoy with the configuration of deploy/, in a process of its own, in front of given servers."""

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.support.servers import free_address
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OWN = ROOT / ".venv-envoy" / "bin" / "envoy"
BINARY = str(OWN) if OWN.exists() else shutil.which("envoy")
JSON = {"content-type": "application/json"}


class Answer(NamedTuple):
    """Answer over HTTP; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Envoy:
    """Addresses of an Envoy that runs."""

    address: str
    admin: str

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = JSON) -> Answer:
        """Sends an HTTP request to it."""
        return send(self.address, method, path, body, headers)

    def statistic(self, name: str) -> int:
        """Returns a counter or gauge of Envoy."""
        answer = send(self.admin, "GET", f"/stats?format=json&filter=^{name}$")
        (found,) = json.loads(answer.body)["stats"]
        value: int = found["value"]
        return value

    def healthy(self) -> int:
        """Returns how many servers Envoy would send requests to."""
        return self.statistic("cluster.servers.membership_healthy")


def send(address: str, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = JSON) -> Answer:
    """Sends an HTTP request to an address."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())
    finally:
        connection.close()


@contextmanager
def envoy(folder: Path, servers: Sequence[str], shadow: str | None = None) -> Iterator[Envoy]:
    """Runs Envoy in front of the servers at these addresses, and waits until all of them are healthy."""
    assert BINARY is not None
    shutil.copy(DEPLOY / "resprobe.binpb", folder)
    found = Envoy(free_address(), free_address())
    (folder / "envoy.yaml").write_text(json.dumps(_configuration(found, servers, shadow)))
    command = [BINARY, "-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"]
    with subprocess.Popen(command, cwd=folder, env={**os.environ, "HOME": str(folder)}) as process:
        try:
            until(lambda: _answers(found) and found.healthy() == len(servers))
            yield found
        finally:
            process.kill()


def _configuration(at: Envoy, servers: Sequence[str], shadow: str | None) -> Any:
    read = yaml.safe_load((DEPLOY / "envoy.yaml").read_text())
    read["admin"]["address"] = _socket(at.admin)
    resources = read["static_resources"]
    resources["listeners"][0]["address"] = _socket(at.address)
    for cluster, addresses in zip(resources["clusters"], (servers, [shadow or servers[0]]), strict=True):
        endpoints = [{"endpoint": {"address": _socket(address)}} for address in addresses]
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
    return read


def _socket(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _answers(one: Envoy) -> bool:
    try:
        return send(one.admin, "GET", "/ready").status == 200
    except OSError:
        return False
