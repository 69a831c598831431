"""A certificate that clients refuse for its dates is named in the log, when it is loaded and when it is renewed."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from resprobe_server.security import tls
from resprobe_server.security.tls import server_credentials
from resprobe_server.security.validity import complaint
from structlog.testing import CapturingLogger

NOW, DAY = datetime.now(UTC), timedelta(days=1)


@pytest.mark.parametrize(
    ("begins", "ends", "expected"),
    [
        (NOW - 2 * DAY, NOW - DAY, "it has expired"),
        (NOW + DAY, NOW + 2 * DAY, "it is not valid yet"),
        (NOW - DAY, NOW + DAY, ""),
    ],
)
def test_the_dates_of_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: datetime, ends: datetime, expected: str
) -> None:
    issued = trustme.CA().issue_cert("localhost", not_before=begins, not_after=ends)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    log = CapturingLogger()
    monkeypatch.setattr(tls, "log", log)
    server_credentials(cert, key, None)
    assert [call.kwargs["reason"] for call in log.calls] == [expected] * bool(expected)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    assert complaint(context, cert) == expected
