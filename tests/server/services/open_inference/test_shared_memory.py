"""Tensors in shared memory: the answers are those to the same bytes in a message, and wrong places are errors."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_server.errors import Forbidden
from resprobe_server.services.open_inference import shared_memory
from resprobe_server.services.open_inference.regions import Regions

from tests.support.access import write_tokens
from tests.support.open_inference import Array, arrays, raw_request, strings
from tests.support.servers import Serve
from tests.support.workers import each, workers

Code = grpc.StatusCode
OUTPUT = 4096  # first byte of what the server writes


@contextmanager
def memory(size: int = 8192, prefix: str = "") -> Iterator[SharedMemory]:
    """Shared memory of a name that nothing else has."""
    made = SharedMemory(f"{prefix}resprobe-{uuid.uuid4()}", create=True, size=size)
    try:
        yield made
    finally:
        made.close()
        made.unlink()


def view(made: SharedMemory) -> memoryview:
    assert made.buf is not None
    return made.buf


@pytest.fixture(scope="module")
def stub(start: Serve, repository: Path) -> Iterator[GRPCInferenceServiceStub]:
    with start(repository, shared_memory=True) as address, grpc.insecure_channel(address) as channel:
        yield GRPCInferenceServiceStub(channel)


@pytest.fixture
def region(stub: GRPCInferenceServiceStub, test_images: Array) -> Iterator[SharedMemory]:
    """A region `images` that begins with nine images."""
    with memory() as made:
        view(made)[: 9 * 64] = test_images[:9].tobytes()
        register(stub, made)
        yield made
        stub.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest(name="images"))


def register(stub: GRPCInferenceServiceStub, made: SharedMemory, **more: Any) -> None:
    fields: dict[str, Any] = {"name": "images", "key": f"/{made.name}", "byte_size": 8192} | more
    stub.SystemSharedMemoryRegister(pb.SystemSharedMemoryRegisterRequest(**fields))


def parameters(size: int, offset: int = 0, name: str = "images") -> dict[str, pb.InferParameter]:
    found = {
        "shared_memory_region": pb.InferParameter(string_param=name),
        "shared_memory_byte_size": pb.InferParameter(int64_param=size),
    }
    return found | ({"shared_memory_offset": pb.InferParameter(int64_param=offset)} if offset else {})


def request(rows: int = 9, offset: int = 0, size: int | None = None, **fields: Any) -> pb.ModelInferRequest:
    where = parameters(64 * rows if size is None else size, offset)
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="image", datatype="UINT8", shape=(rows, 8, 8, 1), parameters=where
    )
    return pb.ModelInferRequest(model_name="digits", inputs=[tensor], **fields)


def output(size: int, name: str = "logits", **more: int) -> dict[str, Any]:
    choices = {key: pb.InferParameter(int64_param=value) for key, value in more.items()}
    return {"name": name, "parameters": parameters(size, OUTPUT) | choices}


def test_inputs_are_read_there(stub: GRPCInferenceServiceStub, region: SharedMemory, test_images: Array) -> None:
    expected = arrays(stub.ModelInfer(raw_request(test_images[:9])))["logits"]
    np.testing.assert_array_equal(arrays(stub.ModelInfer(request()))["logits"], expected)
    np.testing.assert_array_equal(arrays(stub.ModelInfer(request(4, 128)))["logits"], expected[2:6])
    (answer,) = stub.ModelStreamInfer(iter([request()]))
    np.testing.assert_array_equal(arrays(answer.infer_response)["logits"], expected)
    view(region)[:64] = test_images[8].tobytes()  # nothing is kept of an earlier request
    np.testing.assert_array_equal(arrays(stub.ModelInfer(request(1)))["logits"], expected[8:])


def test_outputs_are_written_there(stub: GRPCInferenceServiceStub, region: SharedMemory, test_images: Array) -> None:
    sent = raw_request(test_images[:9])
    expected = arrays(stub.ModelInfer(sent))["logits"]
    wanted = raw_request(test_images[:9], outputs=[{"name": "blocks"}, output(9 * 40)])
    for message in (wanted, request(outputs=[{"name": "blocks"}, output(9 * 40)])):
        view(region)[OUTPUT : OUTPUT + 360] = bytes(360)
        answer = stub.ModelInfer(message)
        blocks, logits = answer.outputs
        assert (blocks.name, logits.name, list(logits.shape)) == ("blocks", "logits", [9, 10])
        assert [bool(raw) for raw in answer.raw_output_contents] == [True, False]
        assert logits.parameters["shared_memory_byte_size"].int64_param == 360
        assert logits.parameters["shared_memory_offset"].int64_param == OUTPUT
        found = np.frombuffer(view(region), np.float32, 90, OUTPUT).reshape(9, 10).copy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    answer = stub.ModelInfer(request(outputs=[output(200, classification=1)]))
    size = answer.outputs[0].parameters["shared_memory_byte_size"].int64_param
    classes = [text.split(b":")[1] for text in strings(bytes(view(region)[OUTPUT : OUTPUT + size]))]
    assert classes == [str(index).encode() for index in expected.argmax(1)]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (request(9, size=9 * 64 - 1), "has 575 bytes of raw contents; UINT8 [9, 8, 8, 1] needs 576"),
        (request(9, offset=8192 - 64), "region 'images' has 8192 bytes; expected 576 bytes at byte 8128 to be in it"),
        (request(9, offset=-1), "shared_memory_offset of image is not an int64_param of at least 0"),
        (request(9, size=-1), "shared_memory_byte_size of image is not an int64_param of at least 0"),
        (request(9, raw_input_contents=[bytes(576)]), "there are 1 raw_input_contents for 0 inputs"),
        (request(outputs=[output(359)]), "output logits has 360 bytes, and shared_memory_byte_size is 359"),
        (request(outputs=[output(8192)]), "expected 8192 bytes at byte 4096 to be in it"),
    ],
)
def test_places_that_do_not_fit(
    stub: GRPCInferenceServiceStub, region: SharedMemory, message: pb.ModelInferRequest, text: str
) -> None:
    check_fails(Code.INVALID_ARGUMENT, text, lambda: stub.ModelInfer(message))


def check_fails(code: Code, text: str, call: Callable[[], object]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() is code
    assert text in (caught.value.details() or "")


def test_regions_are_listed_and_forgotten(stub: GRPCInferenceServiceStub, region: SharedMemory) -> None:
    def status(name: str = "") -> Any:
        return stub.SystemSharedMemoryStatus(pb.SystemSharedMemoryStatusRequest(name=name)).regions

    register(stub, region, name="second", offset=64, byte_size=64)
    assert sorted(status()) == ["images", "second"]
    assert (status("second")["second"].key, status("second")["second"].offset) == (f"/{region.name}", 64)
    check_fails(Code.NOT_FOUND, "no region 'third'", lambda: status("third"))
    stub.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest(name="second"))
    assert sorted(status()) == ["images"]
    stub.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest())
    check_fails(Code.INVALID_ARGUMENT, "no region 'images' is registered", lambda: stub.ModelInfer(request()))
    register(stub, region)
    metadata = stub.ServerMetadata(pb.ServerMetadataRequest())
    assert "system_shared_memory" in metadata.extensions


def test_it_is_off_by_default(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        expected = Code.FAILED_PRECONDITION, "start the server with --shared-memory, or send the bytes"
        check_fails(*expected, lambda: stub.ModelInfer(request()))
        check_fails(*expected, lambda: stub.ModelInfer(request(outputs=[output(8)])))
        with memory() as made:
            check_fails(*expected, lambda: register(stub, made))
        assert "system_shared_memory" not in stub.ServerMetadata(pb.ServerMetadataRequest()).extensions


@pytest.mark.parametrize(
    ("peer", "is_local"),
    [
        ("ipv4:127.0.0.1:4711", True),
        ("ipv6:%5B::1%5D:4711", True),
        ("unix:/run/socket", True),
        ("unix:", True),
        ("ipv4:10.0.0.1:4711", False),
        ("ipv6:%5B2001:db8::1%5D:4711", False),
    ],
)
def test_only_callers_on_this_machine_may_use_it(peer: str, is_local: bool) -> None:
    class Caller:
        def peer(self) -> str:
            return peer

    served, caller = shared_memory.SharedMemory(Regions(owners=False)), Caller()
    if is_local:
        assert served.owner(caller)[1] == ""  # type: ignore[arg-type]
    else:
        with pytest.raises(Forbidden, match="for callers on the server's machine"):
            served.owner(caller)  # type: ignore[arg-type]


def test_no_caller_reads_what_another_has_put_there(start: Serve, repository: Path, tmp_path: Path) -> None:
    options = {"tokens": write_tokens(tmp_path / "tokens"), "shared_memory": True}
    with start(repository, **options) as address, grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)

        def as_one(name: str, method: Callable[..., Any], message: Any) -> Callable[[], Any]:
            return lambda: method(message, metadata=(("authorization", f"Bearer a-{name}"),))

        with memory(prefix="analyst:") as made:
            message = pb.SystemSharedMemoryRegisterRequest(name="images", key=made.name, byte_size=8192)
            add = stub.SystemSharedMemoryRegister
            check_fails(Code.UNAUTHENTICATED, "wants a token", lambda: add(message))
            check_fails(Code.PERMISSION_DENIED, "the right classify", as_one("reader", add, message))
            check_fails(Code.INVALID_ARGUMENT, "begins with its name", as_one("classifier", add, message))
            as_one("analyst", add, message)()
            assert as_one("analyst", stub.ModelInfer, request())().outputs[0].shape == [9, 10]
            check_fails(Code.INVALID_ARGUMENT, "no region 'images'", as_one("classifier", stub.ModelInfer, request()))
            listing = pb.SystemSharedMemoryStatusRequest()
            assert not as_one("classifier", stub.SystemSharedMemoryStatus, listing)().regions


def test_a_region_is_that_of_all_workers(repository: Path) -> None:
    def infer(channel: grpc.Channel) -> list[int]:
        return list(GRPCInferenceServiceStub(channel).ModelInfer(request(), timeout=60).outputs[0].shape)

    with workers(repository, "--shared-memory") as found, memory() as made:
        each(found.address, lambda channel: register(GRPCInferenceServiceStub(channel), made), 1)
        assert each(found.address, infer) == [[9, 10]] * 16
        found.replaced(lambda: os.kill(found.pids()[0], signal.SIGKILL))
        assert each(found.address, infer) == [[9, 10]] * 16
