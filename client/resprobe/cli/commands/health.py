"""`resprobe health`."""

from dataclasses import dataclass
from typing import Any, NoReturn

import grpc

from resprobe._wire.status import raise_error
from resprobe.cli.options import Connected, console
from resprobe.errors import ModelNotFound, ServerUnavailable

TIMEOUT = 5.0  # seconds


@dataclass(frozen=True)
class Health(Connected):
    """Ask whether the server, or one of its models, is serving: exit code 0 if it is, 1 if it is not.

    Examples:
      resprobe health
      resprobe health --model resnet110 --json
    """

    model: str = ""
    """Name of a model. Default: the server."""

    def run(self) -> None:
        """Asks and prints."""
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        with self.connection.endpoint().open() as channel:
            try:
                stub: Any = health_pb2_grpc.HealthStub(channel)  # it comes without types
                status = stub.Check(health_pb2.HealthCheckRequest(service=self.model), timeout=TIMEOUT).status
            except grpc.RpcError as error:
                self._fail(error)
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
        if self.json:
            self.show({"status": name})
        if status != health_pb2.HealthCheckResponse.SERVING:
            raise ServerUnavailable(f"{self.model or self.connection.address} is {name}")
        if not self.json:
            console.print(name)

    def _fail(self, error: grpc.RpcError) -> NoReturn:
        try:
            raise_error(error, self.connection.address)
        except ModelNotFound as missing:  # the health service gives no text
            raise ModelNotFound(
                f"{self.connection.address} serves no model {self.model!r}", status=missing.status
            ) from error
