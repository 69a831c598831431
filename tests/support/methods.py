"""Methods of t.T made for a test, each named for its kind, and a client of them."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import Int64Value
from resprobe_server.rpc.server import Server

from tests.support.servers import run_server


def value(number: int) -> Int64Value:
    return Int64Value(value=number)


def run(
    methods: dict[str, Any], ask: Callable[[Any, Server], Awaitable[None]], stops: bool = True, gates: Any = ()
) -> Server:
    """Serves methods of t.T, each named for its kind, to what `ask` does with a channel; returns the server."""

    def add(_: object, server: Any) -> None:
        for kind, answers in methods.items():
            make = getattr(grpc, f"{kind}_rpc_method_handler")
            handler = make(answers, Int64Value.FromString, lambda message: message.SerializeToString())
            server.add_registered_method_handlers("t.T", {kind: handler})

    return run_server(lambda server: server.add(add, None), ask, stops, gates)


def method(channel: grpc.aio.Channel, kind: str) -> Any:
    return getattr(channel, kind)(f"/t.T/{kind}", Int64Value.SerializeToString, Int64Value.FromString)


async def ending(call: Any) -> tuple[grpc.StatusCode, str]:
    return await call.code(), await call.details()
