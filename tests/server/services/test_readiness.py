"""Inference is refused unread while models are being loaded; all else is answered."""

from typing import Any

import pytest
from resprobe_server.errors import NotReady
from resprobe_server.models.table import Table
from resprobe_server.services.readiness import Readiness


class Call:
    """A call of which only the method is known."""

    def __init__(self, method: str) -> None:
        self.method = method


INFERENCE = ("resprobe.v1.ResidualService/ClassifyStream", "inference.GRPCInferenceService/ModelInfer")
OTHERS = ("grpc.health.v1.Health/Check", "inference.GRPCInferenceService/ServerReady")


def test_a_gate_that_opens_with_the_table() -> None:
    table = Table()
    gate = Readiness(table)

    def enter(method: str) -> None:
        call: Any = Call(method)
        gate.enter(call)

    for method in OTHERS:
        enter(method)
    for method in INFERENCE:
        with pytest.raises(NotReady, match="still being loaded"):
            enter(method)
    table.is_open = True
    for method in INFERENCE + OTHERS:
        enter(method)
