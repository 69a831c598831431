"""The answer of a call that is answered without a task: set by whoever runs its request."""

from collections.abc import Callable
from typing import Any

import grpc

Respond = Callable[[Any], bytes]  # the response, serialized; it may raise, as a method may


class Reply:
    """The promise of a call's response; see Promise in scheduling/request.py."""

    __slots__ = ("_call", "respond")

    def __init__(self, call: Any, respond: Respond) -> None:
        """Makes it; `respond` makes the response from what it is set to."""
        self._call, self.respond = call, respond

    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        gone: bool = self._call.cancelled
        return gone

    def done(self) -> bool:
        """Whether the call has ended."""
        return self._call.code() is not None

    def set_result(self, result: Any) -> None:
        """Answers with a response."""
        try:
            response = self.respond(result)
        except Exception as error:
            self.set_exception(error)
        else:
            self.answer(response)

    def answer(self, response: bytes) -> None:
        """Ends the call with a response."""
        self._call.finish(grpc.StatusCode.OK, message=response)

    def set_exception(self, error: Exception) -> None:
        """Ends the call with the status that the exception stands for."""
        self._call.fail(error)
