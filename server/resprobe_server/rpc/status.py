"""Makes the status of a call from an exception: google.rpc.Status with its details, and a line of the log.

grpcio-status has a table of codes and the name of the metadata too. It is not used here: each of its versions needs a
grpcio as new as itself, which would narrow the versions that the server runs on, for two lines.
"""

import math
import threading
import time
import uuid

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from resprobe_server.errors import STATUS, InvalidRequest, QueueFull, shorten
from resprobe_server.rpc.context import CallContext

CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
LONGEST_FIELD = 128  # bytes of a field's name in an error
DETAILS = "grpc-status-details-bin"  # metadata in which gRPC carries a google.rpc.Status
LINES = 50  # maximum lines about refused requests in a second
log = structlog.get_logger()


class LineLimit:
    """Limits the lines that clients can add to the log. It may be used on any thread."""

    def __init__(self, lines: int) -> None:
        """Creates a limit of so many lines a second."""
        self._lines, self._lock = lines, threading.Lock()
        self._second, self._written, self._left_out = 0, 0, 0

    def take(self) -> int | None:
        """Returns how many lines were left out since the last one. If None, this one is to be left out too."""
        second = int(time.monotonic())
        with self._lock:
            if second != self._second:
                self._second, self._written = second, 0
            if self._written >= self._lines:
                self._left_out += 1
                return None
            self._written += 1
            left_out, self._left_out = self._left_out, 0
            return left_out


REFUSALS = LineLimit(LINES)


def make_status(error: Exception, context: CallContext, identifier: str) -> status_pb2.Status:
    """Makes the status that the client gets, with google.rpc details where there are some, and writes it to the log."""
    code = next((code for kind, code in STATUS.items() if isinstance(error, kind)), None)
    if code is None:
        identifier = shorten(identifier) or uuid.uuid4().hex
        log.error("failed", id=identifier, peer=context.peer(), exc_info=error)
        message = f"internal error; the server's log has the details under the id {identifier}"
        return status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], message=message)
    text = shorten(str(error))
    if (left_out := REFUSALS.take()) is not None:
        more = {"left_out": left_out} if left_out else {}
        log.info("refused", status=code.name, reason=text, id=shorten(identifier), peer=context.peer(), **more)
    status = status_pb2.Status(code=code.value[0], message=text)
    if isinstance(error, QueueFull):
        retry = error_details_pb2.RetryInfo()
        set_duration(retry.retry_delay, error.retry_after)
        status.details.add().Pack(retry)
    elif isinstance(error, InvalidRequest) and error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=shorten(error.field, LONGEST_FIELD), description=text
        )
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return status


def deadline_of(context: CallContext) -> float:
    """Returns the deadline of a call on the clock of time.monotonic; infinite if the client set none."""
    remaining = context.time_remaining()
    return math.inf if remaining is None else time.monotonic() + remaining


def set_duration(message: Duration, seconds: float) -> None:
    """Sets a duration to so many seconds."""
    message.seconds, message.nanos = int(seconds), int(seconds % 1 * 1e9)
