"""From the status of a failed call to an exception of the tree in errors.py; reads the details of google.rpc."""

import re
from collections.abc import Mapping, Sequence
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
# What gRPC says of a connection that failed, and what it comes of.
HINTS = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is from no authority that is trusted here: give its own as ca=FILE, "
    "--ca FILE",
    "WRONG_VERSION_NUMBER": "it does not talk TLS",
    "Socket closed": "if it wants TLS, give tls=True or ca=FILE, --tls or --ca FILE",
}
NOBODY = ("Connection refused", "connect failed: addr: unix:")


def raise_error(error: grpc.RpcError, address: str, sources: Sequence[str] = ()) -> NoReturn:
    """Raises what a failed call means, as the tree in errors.py.

    Args:
        error: What gRPC raised.
        address: Of the server.
        sources: What to call each image of the request in the text, instead of images[0], images[1] …
    """
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    code, message = error.code(), error.details() or ""
    kind = ERRORS.get(code, errors.ServerError)
    extra: dict[str, Any] = {}
    for detail in _details(error):
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            kind, extra = errors.ServerBusy, {"retry_after": retry.retry_delay.ToNanoseconds() / 1e9}
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR) and sources:
            request = error_details_pb2.BadRequest()
            detail.Unpack(request)
            field = request.field_violations[0].field
            if field.startswith("images["):
                index = int(field[len("images[") : -1])
                kind, extra = errors.InvalidImage, {"index": index}
                message = message.replace(field, sources[index])
    if kind is errors.ServerUnavailable and any(sign in message for sign in NOBODY):
        message = f"nothing listens at {address}; is resprobe-server running?"
    elif kind is errors.ServerUnavailable:
        hint = next((f"; {hint}" for sign, hint in HINTS.items() if sign in message), "")
        message = f"no answer from {address}: {message}{hint}"
    elif code is grpc.StatusCode.CANCELLED and "Channel closed" in message:
        kind, message = errors.InvalidRequest, "the client was closed before the answer came"
    elif kind is errors.RequestTooLarge and "metadata" in message:
        kind, message = errors.ServerError, f"what {address} says beside its answer is too long to be read: {message}"
    elif kind is errors.RequestTooLarge:
        smaller = "send it smaller" if len(sources) == 1 else "send fewer images at a time, as Client.stream does"
        message = f"{_sizes(message)}; {smaller}"
    elif kind is errors.DeadlineExceeded:
        message = f"no answer from {address} in the time given: {message}"
    raise kind(message, status=code.name, **extra) from error


def _sizes(message: str) -> str:
    """What gRPC says of a message over the limit, in words that help; anything else as it is."""
    found = re.search(r"larger than max \((\d+) vs\. (\d+)\)", message)
    if found is None:
        return message
    size, limit = (int(number) / 2**20 for number in found.groups())
    return f"the message has {size:.1f} MiB, and at most {limit:.1f} MiB are taken"


def _details(error: "grpc.Call | grpc.aio.AioRpcError") -> Any:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS:
            return status_pb2.Status.FromString(value).details
    return ()
