"""Pictures that browsers sent, so that a slider sends factors and not the picture again; and how they are read."""

import asyncio
import hashlib
from collections import OrderedDict

from starlette.requests import Request

from resprobe.errors import DeadlineExceeded, Error, InvalidRequest, RequestTooLarge

MAXIMUM = 32 * 2**20  # bytes of a picture file
KEPT = 128 * 2**20  # bytes of all pictures that are kept
SECONDS = 30.0  # for the body of a request to arrive


class PictureForgotten(Error):
    """The page no longer has this picture: send it again."""


class Pictures:
    """Picture files by their digest; the one that was not used for longest makes room."""

    def __init__(self, kept: int = KEPT) -> None:
        """Creates the store; `kept` is the maximum of bytes in it."""
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._kept, self._size = kept, 0

    def add(self, data: bytes) -> str:
        """Keeps a picture file and returns its key. Raises InvalidRequest if it is empty."""
        if not data:
            raise InvalidRequest("the file is empty; expected a picture")
        key = hashlib.sha256(data).hexdigest()
        if key not in self._files:
            self._files[key] = data
            self._size += len(data)
        self._files.move_to_end(key)
        while self._size > self._kept and len(self._files) > 1:
            self._size -= len(self._files.popitem(last=False)[1])
        return key

    def get(self, key: str) -> bytes:
        """Returns a picture file. Raises PictureForgotten if it is not there any more."""
        if key not in self._files:
            raise PictureForgotten("the page no longer has this picture: drop or choose it again")
        self._files.move_to_end(key)
        return self._files[key]


async def read_body(request: Request, maximum: int) -> bytes:
    """Reads the body of a request.

    Raises:
        RequestTooLarge: It has more bytes than `maximum`; the rest is not read.
        DeadlineExceeded: It has not arrived within SECONDS.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > maximum:
        raise _too_large(int(announced), maximum)
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > maximum:
                    raise _too_large(None, maximum)
    except TimeoutError as error:
        raise DeadlineExceeded(f"the request did not arrive within {SECONDS:.0f} s") from error
    return bytes(body)


def _too_large(size: int | None, maximum: int) -> RequestTooLarge:
    """Creates the error for so many bytes. If None, it is not known how many follow."""
    unit, name = (2**20, "MiB") if maximum >= 2**20 else (2**10, "KiB")
    most = f"{maximum / unit:.0f} {name}"
    sent = f"more than {most}" if size is None else f"{size / unit:.1f} {name}"
    return RequestTooLarge(f"{sent} were sent; the maximum is {most}")
