"""Regions of the system's shared memory that callers on this machine have named (Triton's extension).

A region is read and written with pread and pwrite, and is never mapped: memory that its owner has made smaller
meanwhile is an error of that request, where a mapping would end the process with SIGBUS. It costs one copy.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_shared_memory.md
"""

import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from resprobe_server.errors import InvalidRequest, RequestError

FOLDER = Path("/dev/shm")  # where Linux has POSIX shared memory
MAX_REGIONS, MAX_OF_OWNER = 256, 64
MAX_NAME = 255  # bytes of a key, and characters of a name
FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
SEMAPHORES = "sem."
log = structlog.get_logger()


@dataclass(frozen=True, eq=False)
class Region:
    """A region. Its file is closed when the last request that uses it has ended.

    Attributes:
        name: Name that its owner has given it.
        key: Name of the file, without a slash.
        offset: First byte of the region in the file.
        byte_size: Bytes of the region.
        file: Descriptor of the file.
        inode: Identity of the file.
    """

    name: str
    key: str
    offset: int
    byte_size: int
    file: int
    inode: int

    def __del__(self) -> None:
        os.close(self.file)

    def check(self, offset: int, size: int) -> None:
        """Raises InvalidRequest if the region does not have these bytes."""
        if offset < 0 or size < 0 or offset + size > self.byte_size:
            raise InvalidRequest(
                f"region {self.name!r} has {self.byte_size} bytes; expected {size} bytes at byte {offset} to be in it",
                "parameters",
            )

    def read(self, offset: int, size: int) -> bytes:
        """Returns a copy of bytes of the region. Raises InvalidRequest if it does not have them, or not any more."""
        self.check(offset, size)
        parts, at = [], self.offset + offset
        end = at + size
        while at < end:  # the system reads at most 2 GiB at a time
            part = os.pread(self.file, end - at, at)
            if not part:
                raise self._smaller()
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        """Writes bytes into the region. Raises InvalidRequest if it does not have as many, or cannot be written."""
        self.check(offset, len(data))
        at, left = self.offset + offset, memoryview(data)
        if os.fstat(self.file).st_size < at + len(data):
            raise self._smaller()
        while left:
            try:
                done = os.pwrite(self.file, left, at)
            except OSError as error:
                raise InvalidRequest(
                    f"region {self.name!r} cannot be written: {error.strerror}", "parameters"
                ) from error
            left, at = left[done:], at + done

    def _smaller(self) -> InvalidRequest:
        return InvalidRequest(
            f"the shared memory {self.key!r} of region {self.name!r} has become smaller since it was registered",
            "parameters",
        )


class Regions:
    """Regions by owner and name. Its methods may be called on any thread."""

    def __init__(self, owners: bool, folder: Path = FOLDER) -> None:
        """Begins without regions.

        Args:
            owners: Whether callers have names, because they have tokens. The key of a region then begins with the
                name of its owner and a colon, so that nobody reads what another caller has put there.
            folder: Folder of the shared memory.
        """
        self._owners, self._folder, self._lock = owners, folder, threading.Lock()
        self._regions: dict[tuple[str, str], Region] = {}

    def register(self, owner: str, name: str, key: str, offset: int, byte_size: int) -> None:
        """Adds a region.

        Raises:
            InvalidRequest: The name is used, the key is not one of the owner's shared memory, the memory does not have
                these bytes, or there are too many regions.
        """
        if not name or len(name) > MAX_NAME:
            raise InvalidRequest(f"the name of a region has 1 to {MAX_NAME} characters; got {len(name)}", "name")
        with self._lock:
            if (owner, name) in self._regions:
                raise InvalidRequest(f"region {name!r} is registered already; unregister it first", "name")
            own = sum(one == owner for one, _ in self._regions)
            if len(self._regions) >= MAX_REGIONS or own >= MAX_OF_OWNER:
                raise InvalidRequest(
                    f"{own} of {len(self._regions)} regions are yours; expected at most {MAX_OF_OWNER} of "
                    f"{MAX_REGIONS}: unregister those that you no longer need",
                    "name",
                )
            self._regions[owner, name] = self._open(name, self._check_key(owner, key), offset, byte_size)

    def unregister(self, owner: str, name: str) -> None:
        """Forgets a region of an owner, or all if the name is empty. As with Triton, it need not be there."""
        with self._lock:
            for key in [key for key in self._regions if key[0] == owner and name in ("", key[1])]:
                del self._regions[key]

    def all(self, owner: str) -> list[Region]:
        """Returns the regions of an owner, by name."""
        with self._lock:
            return [region for (one, _), region in sorted(self._regions.items()) if one == owner]

    def get(self, owner: str, name: str) -> Region:
        """Returns a region of an owner. Raises InvalidRequest if it is not registered."""
        with self._lock:
            region = self._regions.get((owner, name))
        if region is None:
            known = ", ".join(repr(one.name) for one in self.all(owner)) or "none"
            raise InvalidRequest(f"no region {name[:MAX_NAME]!r} is registered; yours: {known}", "parameters")
        return region

    def state(self) -> list[dict[str, str | int]]:
        """Returns all regions as JSON has them, for other workers of the server."""
        with self._lock:
            return [
                {
                    "owner": owner,
                    **{name: getattr(one, name) for name in ("name", "key", "offset", "byte_size", "inode")},
                }
                for (owner, _), one in self._regions.items()
            ]

    async def adopt(self, state: list[dict[str, Any]]) -> None:
        """Makes the regions those of a state. One whose memory is gone, or is another one now, is left out."""
        with self._lock:
            self._regions.clear()
        for found in state:
            inode, owner = found.pop("inode"), found["owner"]
            try:
                self.register(**found)
                if self.get(owner, found["name"]).inode == inode:
                    continue
                self.unregister(owner, found["name"])
                reason = "its key is that of other memory now"
            except RequestError as error:
                reason = str(error)
            log.warning("a region of shared memory was left out", region=found["name"], reason=reason)

    def _check_key(self, owner: str, key: str) -> str:
        """Returns the name of the file that a key stands for. Raises InvalidRequest if it is not one of the owner's."""
        file = key.removeprefix("/")
        fits = 0 < len(file.encode()) <= MAX_NAME and file not in (".", "..")
        if not fits or "/" in file or "\0" in file or file.startswith(SEMAPHORES):
            raise InvalidRequest(
                f"key is {key[:MAX_NAME]!r}; expected the name of shared memory, such as /images", "key"
            )
        if self._owners and file.partition(":")[0] != owner:
            raise InvalidRequest(
                f"key is {key!r}; this server has tokens, and the shared memory of {owner} begins with its name and a "
                f"colon: /{owner}:{file}",
                "key",
            )
        return file

    def _open(self, name: str, key: str, offset: int, byte_size: int) -> Region:
        try:
            try:
                file = os.open(self._folder / key, os.O_RDWR | FLAGS)
            except PermissionError:
                file = os.open(self._folder / key, os.O_RDONLY | FLAGS)
        except OSError as error:
            raise InvalidRequest(f"shared memory {key!r} cannot be opened: {error.strerror}", "key") from error
        found = os.fstat(file)
        region = Region(name, key, offset, byte_size, file, found.st_ino)  # closes the file if it is refused
        if not stat.S_ISREG(found.st_mode):
            raise InvalidRequest(f"{key!r} is not shared memory", "key")
        if byte_size < 1 or offset + byte_size > found.st_size:
            raise InvalidRequest(
                f"shared memory {key!r} has {found.st_size} bytes; expected a region of at least 1 byte in it, "
                f"got {byte_size} from byte {offset}",
                "byte_size",
            )
        return region
