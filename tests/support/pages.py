"""A page that really runs, as a process of its own, and what is asked of it over HTTP."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

SECONDS = 60  # maximum for an answer


@contextmanager
def page(address: str, *options: str, token: str | None = None) -> Iterator[str]:
    """Runs `resprobe page` on a free port; yields its URL, and checks that SIGTERM ends it without a word."""
    command = [sys.executable, "-m", "resprobe", "page", "--json", "--listen", "127.0.0.1:0", "--address", address]
    environment = {name: value for name, value in os.environ.items() if name != "RESPROBE_TOKEN"}
    if token is not None:
        environment["RESPROBE_TOKEN"] = token
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                _, said = process.communicate(timeout=SECONDS)
                raise AssertionError(said)
            yield json.loads(line)["url"]
        finally:
            process.terminate()
            _, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, said) == (0, "")


def ask(
    url: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], Any]:
    """Sends a request: bytes as they are, other values as JSON. Returns status, headers and what was answered."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        sent = {**({} if data is None else {"Content-Type": kind}), **(headers or {})}
        connection.request("GET" if data is None else "POST", path, data, sent)  # a body that is chunked stays as it is
        response = connection.getresponse()
        read = response.read()
        text = response.headers.get_content_type() == "application/json"
        return response.status, dict(response.headers), json.loads(read) if text else read
    finally:
        connection.close()


def upload(url: str, data: bytes) -> str:
    """Sends a picture and returns its key."""
    status, _, answer = ask(url, "/api/pictures", data)
    assert status == 200, answer
    return str(answer["picture"])
