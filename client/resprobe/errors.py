"""Exceptions of resprobe, as a tree under Error.

    ├── InvalidRequest          INVALID_ARGUMENT
    │   └── InvalidImage        INVALID_ARGUMENT that names an image; also raised before anything is sent
    ├── ModelNotFound           NOT_FOUND
    ├── StatisticsUnavailable   FAILED_PRECONDITION: the model has no graph that answers this, or cannot be loaded
    ├── ServerBusy              RESOURCE_EXHAUSTED with a time to wait
    ├── RequestTooLarge         RESOURCE_EXHAUSTED for a message over the limit
    ├── DeadlineExceeded        DEADLINE_EXCEEDED
    ├── ServerUnavailable       UNAVAILABLE: no server, or it is still loading or shutting down
    ├── Unauthorized            UNAUTHENTICATED, PERMISSION_DENIED
    ├── ServerError             any other status: the fault is the server's
    ├── DatasetError            images on this machine that cannot be read
    └── MissingPackage          an optional package is not installed

Each carries `status`, the name of the gRPC status, or None if no server was involved.
"""


class Error(Exception):
    """Base of all exceptions of resprobe. Its text is one sentence for a person."""

    def __init__(self, message: str, *, status: str | None = None) -> None:
        super().__init__(message)
        self.status = status


class InvalidRequest(Error):
    """The request is wrong; sending it again will not help."""


class InvalidImage(InvalidRequest):
    """One of the images cannot be used. `index` is its place in the request, from 0, or None if unknown."""

    def __init__(self, message: str, *, status: str | None = None, index: int | None = None) -> None:
        super().__init__(message, status=status)
        self.index = index


class ModelNotFound(Error):
    """The server does not serve this model or version; the text says what it does serve."""


class StatisticsUnavailable(Error):
    """The model has no graph that answers this (no block statistics, no block scale), or it cannot be loaded."""


class ServerBusy(Error):
    """The server's queue is full. `retry_after` is the server's estimate of when it has room, in seconds."""

    def __init__(self, message: str, *, status: str | None = None, retry_after: float = 0.0) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class RequestTooLarge(Error):
    """The request or its response is larger than the other side accepts: send fewer images at a time."""


class DeadlineExceeded(Error):
    """No response arrived within the timeout."""


class ServerUnavailable(Error):
    """No server answered at this address, or it is still loading models or shutting down. Sending again may help."""


class Unauthorized(Error):
    """The server does not know this client, or does not allow it this request."""


class ServerError(Error):
    """The server failed. Its log has the details."""


class DatasetError(Error):
    """A data set cannot be read: the text names the file and what was expected."""


class MissingPackage(Error):
    """An optional package is not installed: the text says how to install it."""
