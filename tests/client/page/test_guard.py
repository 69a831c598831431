"""What the page refuses of other sites, and what it lets browsers do with its files."""

import asyncio
import re
from pathlib import Path

import pytest
from resprobe.page.guard import POLICY, Guard
from starlette.responses import PlainTextResponse
from starlette.types import Message

from tests.support.pages import ask

STATIC = Path(__file__).parents[3] / "client" / "resprobe" / "page" / "static"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize("path", ["/api/pictures", "/api/classify"])
def test_content_types_that_any_site_may_send_are_refused(url: str, path: str, kind: str) -> None:
    assert ask(url, path, b"{}", {"Content-Type": kind})[0] == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:1"}, 200),  # as through a tunnel
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "192.0.2.1"}, 403),
        ({"Host": "user@localhost"}, 403),
        ({"Host": "localhost:x"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "localhost:7", "Origin": "http://localhost:7"}, 200),
        ({"Host": "localhost:7", "Origin": "http://localhost:8"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),  # a link to the page
    ],
    ids=str,
)
def test_other_sites_get_nothing(url: str, headers: dict[str, str], status: int) -> None:
    got, answered, _ = ask(url, "/api/examples", headers=headers)
    assert got == status
    assert answered["content-security-policy"] == POLICY
    assert answered["cache-control"] == "no-store"
    assert answered["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("host", "status"), [("192.0.2.1:80", 200), ("Demo.Example", 200), ("evil.example", 403)])
def test_with_allow_remote_any_address_is_a_host_and_names_are_not(host: str, status: int) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    guard = Guard(PlainTextResponse("welcome"), ["demo.example"], addresses=True)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host.encode())]}
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == status


def test_the_policy_allows_no_script_but_the_pages_own() -> None:
    assert "script-src 'self';" in POLICY
    assert "unsafe" not in POLICY
    assert "://" not in POLICY
    text = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?! type=\"module\" src=\"/static/)", text) == []
    assert re.findall(r"\son\w+=|\sstyle=|<style", text) == []


def test_the_files_name_no_other_host() -> None:
    for path in (path for path in STATIC.rglob("*") if path.is_file()):
        found = set(re.findall(r"\w+://[^\"'\s`]+", path.read_text())) - {"http://www.w3.org/2000/svg"}
        assert found == set(), path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", path.read_text()), path
