"""Health checks of grpc.health.v1: the method to call, and what its responses mean."""

from enum import StrEnum

from grpc_health.v1 import health_pb2

METHOD = "/grpc.health.v1.Health/Check"
Request = health_pb2.HealthCheckRequest
Response = health_pb2.HealthCheckResponse


class ServingStatus(StrEnum):
    """Health of a server or of a model. It is true only if it is SERVING: `if client.health(): …`."""

    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    SERVICE_UNKNOWN = "SERVICE_UNKNOWN"
    UNKNOWN = "UNKNOWN"

    def __bool__(self) -> bool:
        return self is ServingStatus.SERVING


def read_status(response: Response) -> ServingStatus:
    """Reads the status out of a response."""
    return ServingStatus(Response.ServingStatus.Name(response.status))
