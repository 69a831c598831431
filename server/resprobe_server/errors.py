"""What the server refuses and why. The class says whose fault it is; STATUS says what goes over the wire."""

import grpc


class RequestError(Exception):
    """A request that is not answered. Its text is for the caller: what was wrong, and what would be right."""


class InvalidRequest(RequestError):
    """The request's fault. `field` names the part of it, for example images[3]."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Unreadable(InvalidRequest):
    """The bytes of a request are not its message, or there are none."""


class NotFound(RequestError):
    """There is no such model or version."""


class UnknownMethod(RequestError):
    """Nobody serves this method."""


class NotSupported(RequestError):
    """The model has no graph that answers this."""


class LoadFailed(RequestError):
    """A model's files are not fit to be served."""


class Unauthenticated(RequestError):
    """The caller sent no token that is known here."""


class Forbidden(RequestError):
    """The caller has not the right to this."""


class QueueFull(RequestError):
    """Too much is waiting or under way. `retry_after` is when there should be room, in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Expired(RequestError):
    """The deadline passed before the request was run."""


class NotReady(RequestError):
    """The server is still loading, or is shutting down."""


STATUS: dict[type[RequestError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownMethod: grpc.StatusCode.UNIMPLEMENTED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    NotSupported: grpc.StatusCode.FAILED_PRECONDITION,
    LoadFailed: grpc.StatusCode.FAILED_PRECONDITION,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Expired: grpc.StatusCode.DEADLINE_EXCEEDED,
    NotReady: grpc.StatusCode.UNAVAILABLE,
}


class StartError(Exception):
    """The server cannot start as it is configured; its text says why."""
