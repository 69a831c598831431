"""Every status of gRPC becomes one exception of the tree, with what its details say."""

import grpc
import pytest
import resprobe
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from resprobe._wire.status import DETAILS, raise_error


def failed(code: grpc.StatusCode, *details: Message) -> grpc.aio.AioRpcError:
    """A call that failed as a test wants it."""
    status = status_pb2.Status(code=code.value[0])
    for detail in details:
        status.details.add().Pack(detail)
    metadata = grpc.aio.Metadata((DETAILS, status.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details="because")


def test_a_busy_server_says_when_to_come_back() -> None:
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000))
    with pytest.raises(resprobe.ServerBusy) as caught:
        raise_error(failed(grpc.StatusCode.RESOURCE_EXHAUSTED, retry), "here")
    assert caught.value.retry_after == 2.5


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_every_status_is_in_the_tree(code: grpc.StatusCode) -> None:
    with pytest.raises(resprobe.Error, match="because") as caught:
        raise_error(failed(code), "here")
    assert caught.value.status == code.name


def test_an_error_without_a_status_is_the_servers() -> None:
    with pytest.raises(resprobe.ServerError, match="gRPC failed without a status"):
        raise_error(grpc.RpcError("odd"), "here")
