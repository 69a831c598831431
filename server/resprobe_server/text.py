"""Cuts texts that a client has sent to a length that can be logged and sent back."""

MAX_BYTES = 1024  # bytes of an error's text or of a field of the log: gRPC's trailers must stay under 8 KiB
MARK = " … "


def shorten(text: str, maximum: int = MAX_BYTES) -> str:
    """Returns a text of at most `maximum` bytes in UTF-8; the middle of a longer one is left out."""
    if len(text) * 4 <= maximum:
        return text
    data = text.encode(errors="replace")
    if len(data) <= maximum:
        return text
    half = (maximum - len(MARK.encode())) // 2
    return data[:half].decode(errors="ignore") + MARK + data[-half:].decode(errors="ignore")
