"""Guard in front of the page: refuses requests that other sites' pages send, and tells browsers what pages may do."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # text never becomes markup
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI application around another one.

    A page of another site can make a browser send requests here. It cannot choose the headers Host, which names this
    page (unless the site's own name was made to point here), Origin and Sec-Fetch-Site.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = LOOPBACK, addresses: bool = False) -> None:
        """Creates the guard.

        Args:
            app: Application that answers what is not refused.
            names: Hosts under which browsers may reach the page.
            addresses: Whether any IP address is such a host too; names can be made to point here, addresses cannot.
        """
        self._app, self._names, self._addresses = app, frozenset(name.lower() for name in names), addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, with the headers that tell browsers what the page may do."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith("/api/") else "no-cache")
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        app = self._app if refusal is None else PlainTextResponse(f"{refusal}\n", 403)
        await app(scope, receive, with_headers)

    def _refusal(self, headers: Headers) -> str | None:
        """Returns why a request is refused. If None, it is not."""
        hosts = headers.getlist("host")
        host = _netloc(f"//{hosts[0]}") if len(hosts) == 1 else None
        if host is None or not self._is_known(host[0]):
            given = repr(hosts[0][:100]) if hosts else "missing"
            return (
                f"Host is {given}; expected {', '.join(sorted(self._names))}"
                f"{' or an IP address' if self._addresses else ''}: --host-name adds names"
            )
        for origin in headers.getlist("origin"):
            if _netloc(origin) != host:
                return f"Origin is {origin[:100]!r}; expected this page"
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and headers.get("sec-fetch-mode") != "navigate":
            return f"the request is {site[:100]!r}; expected one of this page"
        return None

    def _is_known(self, host: str) -> bool:
        if host in self._names:
            return True
        try:
            return self._addresses and ipaddress.ip_address(host) is not None
        except ValueError:
            return False


def _netloc(url: str) -> tuple[str, int | None] | None:
    """Returns host and port of a URL. If None, it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if not parts.hostname or parts.username is not None else (parts.hostname, port)
