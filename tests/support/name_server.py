"""A name server (RFC 1035) that knows one name, so that a test can give a name several addresses."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

A, INTERNET, RESPONSE, TTL = 1, 1, 0x8180, 1
HEADER = struct.Struct(">HHHHHH")  # id, flags, and how many questions, answers, authorities, additional records
QUESTION = struct.Struct(">HH")


@contextmanager
def name_server(*addresses: str) -> Iterator[str]:
    """Answers every question for IPv4 addresses with these; yields HOST:PORT of the name server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(own, [socket.inet_aton(one) for one in addresses]))
        thread.start()
        try:
            yield f"127.0.0.1:{own.getsockname()[1]}"
        finally:
            own.sendto(b"", own.getsockname())
            thread.join(60)


def _serve(own: socket.socket, addresses: list[bytes]) -> None:
    while True:
        query, client = own.recvfrom(512)
        if not query:
            return
        own.sendto(_answer(query, addresses), client)


def _answer(query: bytes, addresses: list[bytes]) -> bytes:
    end = query.index(b"\0", HEADER.size) + 1 + QUESTION.size
    kind, _ = QUESTION.unpack(query[end - QUESTION.size : end])
    found = addresses if kind == A else []
    records = [struct.pack(">HHHIH", 0xC000 | HEADER.size, A, INTERNET, TTL, len(one)) + one for one in found]
    header = HEADER.pack(HEADER.unpack_from(query)[0], RESPONSE, 1, len(found), 0, 0)
    return header + query[HEADER.size : end] + b"".join(records)
