"""Translates the status of a failed call to an exception of the tree in errors.py; reads the details of google.rpc."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import grpc
from google.rpc import error_details_pb2, status_pb2

from resprobe import errors

DETAILS = "grpc-status-details-bin"  # where gRPC carries a google.rpc.Status
ERRORS: Mapping[grpc.StatusCode, type[errors.Error]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    grpc.StatusCode.NOT_FOUND: errors.ModelNotFound,
    grpc.StatusCode.FAILED_PRECONDITION: errors.StatisticsUnavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.RequestTooLarge,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: errors.ServerUnavailable,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthorized,
    grpc.StatusCode.PERMISSION_DENIED: errors.Unauthorized,
}
# What gRPC says of a connection that failed, and what to do about it.
HINTS = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not from a trusted authority: give its own as ca=FILE, --ca FILE",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "backend unhealthy": "it loads models, shuts down, or has as many watchers as --max-watchers admits",
    "Socket closed": "if it wants TLS, give tls=True or ca=FILE, --tls or --ca FILE",
}
ALL_FAILED = "connections to all backends failing; last error: "  # what gRPC says where it balances
NOT_LISTENING = ("Connection refused", "connect failed: addr: unix:")


def raise_error(error: grpc.RpcError, address: str, sources: Sequence[str] = ()) -> NoReturn:
    """Raises the exception that a failed call means, from the tree in errors.py.

    Args:
        error: What gRPC raised.
        address: Address of the server.
        sources: What to call each image of the request in the text, instead of images[0], images[1] …
    """
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        raise errors.ServerError(f"gRPC failed without a status: {error!r}") from error
    code, message = error.code(), error.details() or ""
    for detail in _details(error):
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            seconds = retry.retry_delay.ToNanoseconds() / 1e9
            raise errors.ServerBusy(message, status=code.name, retry_after=seconds) from error
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR) and sources:
            request = error_details_pb2.BadRequest()
            detail.Unpack(request)
            field = request.field_violations[0].field
            if field.startswith("images["):
                index = int(field[len("images[") : -1])
                text = message.replace(field, sources[index])
                raise errors.InvalidImage(text, status=code.name, index=index) from error
    kind, message = _explained(code, message, address, len(sources))
    raise kind(message, status=code.name) from error


def _explained(code: grpc.StatusCode, message: str, address: str, images: int) -> tuple[type[errors.Error], str]:
    """Returns the exception for a status without details, and its text."""
    kind = ERRORS.get(code, errors.ServerError)
    if kind is errors.ServerUnavailable:
        return kind, _unavailable(message, address)
    if code is grpc.StatusCode.CANCELLED and "Channel closed" in message:
        return errors.InvalidRequest, "the client was closed before the response arrived"
    if kind is errors.RequestTooLarge and "metadata" in message:
        return errors.ServerError, f"the metadata of the response from {address} is too long to be read: {message}"
    if kind is errors.RequestTooLarge:
        smaller = "send it smaller" if images == 1 else "send fewer images at a time, as Client.stream does"
        return kind, f"{_sizes(message)}; {smaller}"
    if kind is errors.DeadlineExceeded:
        return kind, f"no response from {address} in the time given: {message}"
    return kind, message


def _unavailable(message: str, address: str) -> str:
    hint = next((f"; {hint}" for sign, hint in HINTS.items() if sign in message), "")
    if message.startswith(ALL_FAILED):  # others may have failed for another reason
        last = message.removeprefix(ALL_FAILED).removeprefix("UNKNOWN: ")
        return f"no server answers at {address}; is resprobe-server running? The last error: {last}{hint}"
    if any(sign in message for sign in NOT_LISTENING):
        return f"nothing listens at {address}; is resprobe-server running?"
    return f"no response from {address}: {message}{hint}"


def _sizes(message: str) -> str:
    """Rewrites what gRPC says of a message over the limit in MiB; returns any other text as it is."""
    found = re.search(r"larger than max \((\d+) vs\. (\d+)\)", message)
    if found is None:
        return message
    size, limit = (int(number) / 2**20 for number in found.groups())
    return f"the message has {size:.1f} MiB; the maximum is {limit:.1f} MiB"


def _details(error: "grpc.Call | grpc.aio.AioRpcError") -> Iterable[Any]:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS:
            details: Iterable[Any] = status_pb2.Status.FromString(value).details
            return details
    return ()
