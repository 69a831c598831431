"""Texts that hold what a caller sent, cut to a length that can be logged and sent back."""

LONGEST = 1024  # bytes of an error's text or of a field of the log: gRPC's trailers must stay under 8 KiB
MARK = " … "


def shorten(text: str, most: int = LONGEST) -> str:
    """Returns a text of at most `most` bytes in UTF-8; the middle of a longer one is left out."""
    if len(text) * 4 <= most:
        return text
    data = text.encode(errors="replace")
    if len(data) <= most:
        return text
    half = (most - len(MARK.encode())) // 2
    return data[:half].decode(errors="ignore") + MARK + data[-half:].decode(errors="ignore")
