"""HTTP/2 as an attacker writes it: frames by hand, since gRPC's client does nothing wrong."""

import socket

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def length(text: bytes) -> bytes:
    """Encodes a string as HPACK does: its length, and its bytes."""
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, digits = len(text) - 127, b""
    while rest >= 128:
        digits += bytes([rest % 128 | 128])
        rest //= 128
    return b"\x7f" + digits + bytes([rest]) + text


def headers(path: bytes) -> bytes:
    pairs = (b":path", path), (b":authority", b"x"), (b"content-type", b"application/grpc"), (b"te", b"trailers")
    return b"\x83\x86" + b"".join(b"\x00" + length(name) + length(value) for name, value in pairs)


def connect(address: str, source: str = "127.0.0.1") -> socket.socket:
    """Connects from one of this machine's addresses and sends the preface."""
    host, _, port = address.rpartition(":")
    made = socket.create_connection((host, int(port)), 30, (source, 0))
    made.sendall(PREFACE + frame(SETTINGS, 0, 0))
    return made


def calls(path: str, count: int) -> bytes:
    """Encodes so many calls whose request does not arrive."""
    return b"".join(frame(HEADERS, END_HEADERS, 2 * number + 1, headers(path.encode())) for number in range(count))


def read_until(connection: socket.socket, text: bytes) -> bytes:
    """Reads up to and with a text; fails if the connection is closed without it."""
    found = b""
    while text not in found:
        more = connection.recv(65536)
        assert more, f"the connection was closed without {text!r}"
        found += more
    return found
