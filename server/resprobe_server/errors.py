"""Reasons why the server refuses a request. The class says whose fault it is; STATUS has the status that is sent."""

import grpc

MAX_BYTES = 1024  # bytes of an error's text or of a field of the log: gRPC's trailers must stay under 8 KiB
MARK = " … "


class RequestError(Exception):
    """Request that is not answered. Its text is for the client: what was wrong, and what would be right."""


class InvalidRequest(RequestError):
    """Request that is wrong. `field` names the part of it, for example images[3]."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Unreadable(InvalidRequest):
    """The bytes of a request are not its message, or there are no bytes."""


class NotFound(RequestError):
    """There is no such model or version."""


class UnknownMethod(RequestError):
    """There is no such method."""


class NotSupported(RequestError):
    """The model has no graph that answers this."""


class LoadFailed(RequestError):
    """The files of a model are not fit to be served."""


class Unauthenticated(RequestError):
    """The client sent no token, or one that the server does not know."""


class Forbidden(RequestError):
    """The client's token does not have the right that the request needs."""


class QueueFull(RequestError):
    """Too many requests wait or are under way. `retry_after` is the seconds until there should be room."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unloaded(RequestError):
    """The model is not in memory; a request for it waits until it was loaded. `model` is its name."""

    def __init__(self, model: str) -> None:
        super().__init__(f"model {model} is not in memory; a request for it loads it")
        self.model = model


class TooLarge(RequestError):
    """The model needs more memory than all models together may have."""


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
    TooLarge: grpc.StatusCode.FAILED_PRECONDITION,  # sending it again, or smaller, does not help
    Unloaded: grpc.StatusCode.UNAVAILABLE,
    Expired: grpc.StatusCode.DEADLINE_EXCEEDED,
    NotReady: grpc.StatusCode.UNAVAILABLE,
}


class StartError(Exception):
    """The server cannot start with its configuration; the text says why."""


def shorten(text: str, maximum: int = MAX_BYTES) -> str:
    """Returns a text of at most `maximum` bytes in UTF-8; the middle of a longer one is left out."""
    if len(text) * 4 <= maximum:
        return text
    data = text.encode(errors="replace")
    if len(data) <= maximum:
        return text
    half = (maximum - len(MARK.encode())) // 2
    return data[:half].decode(errors="ignore") + MARK + data[-half:].decode(errors="ignore")
