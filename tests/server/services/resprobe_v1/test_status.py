"""The status of every request that is not answered."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from google.rpc import error_details_pb2, status_pb2
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub

from tests.support.calls import raw
from tests.support.servers import Serve

IMAGE = pb.Image(pixels=pb.Pixels(height=8, width=8, channels=1, data=bytes(64)))


BAD = pb.Image(encoded=b"hello")


INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


UNSUPPORTED = grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    ("request_", "code", "message", "field"),
    [
        ({"images": [IMAGE, BAD]}, INVALID, "images[1] is 5 bytes that are not a JPEG, PNG or WebP file", "images[1]"),
        ({"images": [pb.Image()]}, INVALID, "images[0] has neither encoded nor pixels", "images[0]"),
        ({"images": []}, INVALID, "images is empty; expected at least one image", "images"),
        ({"top_k": 0}, INVALID, "top_k is 0; expected at least 1", "top_k"),
        ({"top_k": -3}, INVALID, "top_k is -3; expected at least 1", "top_k"),
        (
            {"view": 9},
            INVALID,
            "view has 9; expected VIEW_BASIC, VIEW_BLOCKS, VIEW_MAPS, VIEW_CHANNELS, VIEW_READOUTS, VIEW_CAM",
            "view",
        ),
        ({"model": ""}, INVALID, "the request names no model, and several are served: colour, digits, plain", "model"),
        ({"model": "vgg"}, MISSING, "no model 'vgg'; there are: colour, digits, plain", ""),
        ({"version": "7"}, MISSING, "model digits has no version '7'; there are: 1, 2", ""),
        ({"version": "latest"}, MISSING, "model digits has no version 'latest'; there are: 1, 2", ""),
        (
            {"model": "plain", "view": pb.VIEW_BLOCKS},
            UNSUPPORTED,
            "model plain has no block statistics: it has no residual blocks; ask without them",
            "",
        ),
        (
            {"model": "plain", "block_scale": [1, 1, 1]},
            UNSUPPORTED,
            "model plain cannot scale its blocks: it has no residual blocks; leave block_scale out",
            "",
        ),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_status_table(
    stub: ResidualServiceStub, request_: dict[str, Any], code: grpc.StatusCode, message: str, field: str
) -> None:
    request = pb.ClassifyRequest(**{"model": "digits", "images": [IMAGE], **request_})
    with pytest.raises(grpc.RpcError) as caught:
        stub.Classify(request)
    error = caught.value
    assert isinstance(error, grpc.Call)
    assert (error.code(), error.details()) == (code, message)
    status = details(error)
    assert (status.code, status.message) == (code.value[0], message)
    if field:
        request_details = error_details_pb2.BadRequest()
        assert status.details[0].Unpack(request_details)
        assert request_details.field_violations[0].field == field


def details(error: grpc.Call) -> status_pb2.Status:
    metadata = {key: value for key, value in error.trailing_metadata() or ()}
    return status_pb2.Status.FromString(metadata["grpc-status-details-bin"])


def test_a_bad_request_hurts_no_neighbour(stub: ResidualServiceStub, test_images: npt.NDArray[np.uint8]) -> None:
    def ask(index: int) -> int | grpc.StatusCode:
        images = [BAD] if index % 3 == 0 else raw(test_images[index : index + 1])
        try:
            return stub.Classify(pb.ClassifyRequest(model="digits", images=images)).results[0].classes[0].index
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            return error.code()

    expected = stub.Classify(pb.ClassifyRequest(model="digits", images=raw(test_images[:60]), top_k=1))
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, range(60)))
    for index, answer in enumerate(answers):
        assert answer == (INVALID if index % 3 == 0 else expected.results[index].classes[0].index)


def test_a_full_queue_is_refused_with_a_time_to_wait(
    start: Serve, repository: Path, test_images: npt.NDArray[np.uint8]
) -> None:
    async def drive(address: str) -> list[Any]:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = ResidualServiceStub(channel)
            request = pb.ClassifyRequest(model="digits", images=raw(test_images[:64]), view=pb.VIEW_BLOCKS)
            return await asyncio.gather(*(stub.Classify(request) for _ in range(40)), return_exceptions=True)

    with start(repository, max_queue=100, max_batch=4, threads=1) as address:
        answers = asyncio.run(drive(address))
    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert 0 < len(refused) < 40
    for error in refused:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        retry = error_details_pb2.RetryInfo()
        assert details(error).details[0].Unpack(retry)  # type: ignore[arg-type]
        assert retry.retry_delay.ToNanoseconds() > 0
    for answer in answers:
        if not isinstance(answer, grpc.aio.AioRpcError):
            assert len(answer.results) == 64


def test_a_message_over_the_limit_is_refused(start: Serve, repository: Path) -> None:
    with start(repository, max_message=1) as address, grpc.insecure_channel(address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            ResidualServiceStub(channel).Classify(pb.ClassifyRequest(images=[pb.Image(encoded=bytes(2 << 20))]))
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(ResidualServiceStub(channel).ListModels(pb.ListModelsRequest()).models) == 4
