"""Checks whether a certificate is valid now, with a handshake in memory, as Python's `ssl` cannot read its dates."""

import ssl
from pathlib import Path

VERDICTS = {9: "it is not valid yet", 10: "it has expired"}  # X509_V_ERR_… of openssl/x509_vfy.h


def complaint(server: ssl.SSLContext, certificate: Path) -> str:
    """Returns what is wrong with the dates of a server's certificate; empty if nothing is.

    Args:
        server: Context that has loaded the certificate and its key.
        certificate: PEM file.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as its own authority: only its dates are checked
    try:
        client.load_verify_locations(certificate)
        _shake_hands(client, server)
    except ssl.SSLCertVerificationError as error:
        return VERDICTS.get(error.verify_code, "")
    except ssl.SSLError:
        return ""  # nothing about its dates; clients will say
    return ""


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    for _ in range(2):  # the client's hello, then the server's with its certificate
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
