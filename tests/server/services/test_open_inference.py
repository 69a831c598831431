"""The Open Inference Protocol over a real channel: every rule of it, and the status of what breaks one."""

import asyncio
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from resprobe_server.config import Config

from tests.support.served_graphs import HALF, REAL, TEXT, node, write
from tests.support.servers import Serve

INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
UNSUPPORTED = grpc.StatusCode.FAILED_PRECONDITION
Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> GRPCInferenceServiceStub:
    return GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def run(repository: Path) -> Callable[[Array], tuple[Array, Array]]:
    """Logits and blocks from the graph itself."""
    session = onnxruntime.InferenceSession(
        repository / "digits" / "2" / "probe.onnx", providers=["CPUExecutionProvider"]
    )

    def direct(images: Array) -> tuple[Array, Array]:
        logits, blocks = session.run(["logits", "blocks"], {"image": images})
        return logits, blocks

    return direct


def tensor(name: str, datatype: str, shape: tuple[int, ...], **contents: Any) -> Any:
    """An input as keyword arguments of its message."""
    return {"name": name, "datatype": datatype, "shape": shape, **({"contents": contents} if contents else {})}


def raw_request(images: Array, **fields: Any) -> pb.ModelInferRequest:
    datatype = {"uint8": "UINT8", "float32": "FP32"}[str(images.dtype)]
    message: dict[str, Any] = {"model_name": "digits", "raw_input_contents": [images.tobytes()]}
    return pb.ModelInferRequest(**{**message, "inputs": [tensor("image", datatype, images.shape)], **fields})


def arrays(response: pb.ModelInferResponse) -> dict[str, Array]:
    dtypes = {"FP32": np.float32, "FP16": np.float16, "INT64": np.int64, "UINT8": np.uint8}
    assert len(response.outputs) == len(response.raw_output_contents)
    return {
        output.name: np.frombuffer(raw, dtypes[output.datatype]).reshape(tuple(output.shape))
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def strings(raw: bytes) -> list[bytes]:
    found = []
    while raw:
        size = int.from_bytes(raw[:4], "little")
        found.append(raw[4 : 4 + size])
        raw = raw[4 + size :]
    return found


def close(one: Array, two: Array) -> None:
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)


Run = Callable[[Array], tuple[Array, Array]]


def test_both_forms_and_both_datatypes_are_the_same_images(
    stub: GRPCInferenceServiceStub, run: Run, test_images: Array
) -> None:
    images = test_images[:20]  # more than a batch of this server
    values, shape = images.reshape(-1).tolist(), images.shape
    uint8 = tensor("image", "UINT8", shape, uint_contents=values)
    fp32 = tensor("image", "FP32", shape, fp32_contents=values)
    for request in (
        raw_request(images, id="mine"),
        raw_request(images.astype(np.float32), id="mine"),
        pb.ModelInferRequest(model_name="digits", id="mine", inputs=[uint8]),
        pb.ModelInferRequest(model_name="digits", id="mine", inputs=[fp32]),
    ):
        response = stub.ModelInfer(request)
        assert (response.model_name, response.model_version, response.id) == ("digits", "2", "mine")
        assert [(one.name, one.datatype, list(one.shape)) for one in response.outputs] == [("logits", "FP32", [20, 10])]
        close(arrays(response)["logits"], run(images)[0])


def encode(image: Array, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("column", [False, True])
def test_files_as_bytes(stub: GRPCInferenceServiceStub, run: Run, test_images: Array, column: bool) -> None:
    images = test_images[:3]
    files = [encode(image, "PNG") for image in images]
    shape = (3, 1) if column else (3,)
    contents = tensor("image", "BYTES", shape, bytes_contents=files)
    raw = b"".join(len(file).to_bytes(4, "little") + file for file in files)
    for request in (
        pb.ModelInferRequest(model_name="digits", inputs=[contents]),
        pb.ModelInferRequest(model_name="digits", inputs=[tensor("image", "BYTES", shape)], raw_input_contents=[raw]),
    ):
        close(arrays(stub.ModelInfer(request))["logits"], run(images)[0])


def test_a_jpeg_of_another_size_is_resized(stub: GRPCInferenceServiceStub, run: Run) -> None:
    grey = np.full((20, 30, 1), 77, np.uint8)
    request = pb.ModelInferRequest(
        model_name="digits", inputs=[tensor("image", "BYTES", (1,), bytes_contents=[encode(grey, "JPEG")])]
    )
    close(arrays(stub.ModelInfer(request))["logits"], run(np.full((1, 8, 8, 1), 77, np.uint8))[0])


def test_outputs_come_in_the_order_asked_and_blocks_only_then(
    stub: GRPCInferenceServiceStub, run: Run, test_images: Array
) -> None:
    logits, blocks = run(test_images[:3])
    both = stub.ModelInfer(raw_request(test_images[:3], outputs=[{"name": "blocks"}, {"name": "logits"}]))
    assert [output.name for output in both.outputs] == ["blocks", "logits"]
    close(arrays(both)["blocks"], blocks)
    close(arrays(both)["logits"], logits)
    alone = stub.ModelInfer(raw_request(test_images[:3], outputs=[{"name": "blocks"}]))
    assert list(arrays(alone)) == ["blocks"]
    metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="digits"))
    assert [output.name for output in metadata.outputs] == ["logits"]


def test_classification(stub: GRPCInferenceServiceStub, run: Run, test_images: Array) -> None:
    wish = {"name": "logits", "parameters": {"classification": {"int64_param": 3}}}
    response = stub.ModelInfer(raw_request(test_images[:2], outputs=[wish]))
    assert [(one.datatype, list(one.shape)) for one in response.outputs] == [("BYTES", [2, 3])]
    found = [entry.decode().split(":") for entry in strings(response.raw_output_contents[0])]
    logits = run(test_images[:2])[0]
    order = np.argsort(-logits, axis=1)[:, :3]
    assert [int(index) for _, index, _ in found] == order.reshape(-1).tolist()
    assert [label for _, _, label in found] == [str(index) for index in order.reshape(-1)]
    close(np.array([float(value) for value, _, _ in found]), np.take_along_axis(logits, order, 1).reshape(-1))


PIXELS = np.zeros((2, 8, 8, 1), np.uint8)
SHARED = {"shared_memory_region": {"string_param": "r"}}
ODD = np.full((1, 8, 8, 1), 0.5, np.float32)


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"model_name": "vgg"}, MISSING, "no model 'vgg'; there are: colour, digits, plain"),
        ({"model_version": "9"}, MISSING, "model digits has no version '9'; there are: 1, 2"),
        ({"raw_input_contents": [bytes(127)]}, INVALID, "image has 127 bytes of raw contents; UINT8 [2, 8, 8, 1] need"),
        ({"raw_input_contents": [bytes(128)] * 2}, INVALID, "there are 2 raw_input_contents for 1 inputs"),
        ({"raw_input_contents": []}, INVALID, "input image has 0 elements; UINT8 [2, 8, 8, 1] needs 128"),
        ({"inputs": [], "raw_input_contents": []}, INVALID, "missing from the request: input image"),
        (
            {"inputs": [tensor("image", "UINT8", PIXELS.shape, uint_contents=[0] * 128)]},
            INVALID,
            "input image has contents beside raw_input_contents; send only one form",
        ),
        (
            {"inputs": [tensor("image", "UINT8", (1, 8, 8, 1), uint_contents=[0] * 65)], "raw_input_contents": []},
            INVALID,
            "input image has 65 elements; UINT8 [1, 8, 8, 1] needs 64",
        ),
        (
            {"inputs": [tensor("image", "UINT8", (1, 8, 8, 1), fp32_contents=[0] * 64)], "raw_input_contents": []},
            INVALID,
            "input image has fp32_contents; UINT8 belongs into uint_contents",
        ),
        (
            {"inputs": [tensor("image", "UINT8", (1, 8, 8, 1), uint_contents=[0] * 63 + [256])]}
            | {"raw_input_contents": []},
            INVALID,
            "element 63 of input image is 256; expected a value of UINT8",
        ),
        (
            {"inputs": [tensor("picture", "UINT8", PIXELS.shape)]},
            INVALID,
            "input 'picture' is unknown to model digits; its inputs: image",
        ),
        (
            {"inputs": [tensor("image", "UINT8", PIXELS.shape)] * 2, "raw_input_contents": [bytes(128)] * 2},
            INVALID,
            "input 'image' is given twice; its inputs: image",
        ),
        (
            {"inputs": [tensor("image", "INT8", PIXELS.shape)]},
            INVALID,
            "input image has datatype 'INT8'; expected UINT8, or FP32, or BYTES for JPEG and PNG files",
        ),
        (
            {"inputs": [tensor("image", "UINT8", (2, 1, 8, 8))]},
            INVALID,
            "input image has shape [2, 1, 8, 8]; expected [n, 8, 8, 1], n at least 1",
        ),
        ({"inputs": [tensor("image", "UINT8", (128,))]}, INVALID, "shape [128]; expected [n, 8, 8, 1]"),
        ({"inputs": [tensor("image", "UINT8", ())]}, INVALID, "shape []; expected [n, 8, 8, 1]"),
        ({"inputs": [tensor("image", "UINT8", (0, 8, 8, 1))]}, INVALID, "shape [0, 8, 8, 1]; expected [n, 8, 8, 1]"),
        ({"inputs": [tensor("image", "UINT8", (-1, 8, 8, 1))]}, INVALID, "shape [-1, 8, 8, 1]; expected [n, 8, 8, 1]"),
        ({"inputs": [tensor("image", "BYTES", (2, 2))]}, INVALID, "shape [2, 2]; expected [n, 1], n at least 1"),
        (
            {"inputs": [tensor("image", "BYTES", (1,))], "raw_input_contents": [b"\5\0\0\0hello"]},
            INVALID,
            "image[0] is 5 bytes that are not a JPEG, PNG or WebP file",
        ),
        (
            {"inputs": [tensor("image", "BYTES", (1,))], "raw_input_contents": [b"\6\0\0\0hello"]},
            INVALID,
            "the raw contents of input image end inside element 0",
        ),
        (
            {"inputs": [tensor("image", "FP32", ODD.shape)], "raw_input_contents": [ODD.tobytes()]},
            INVALID,
            "element 0 of input image is 0.5; expected a pixel: a whole number from 0 to 255",
        ),
        (
            {"inputs": [tensor("image", "UINT8", (2, 8, 8, 1)) | {"parameters": SHARED}]},
            INVALID,
            "input image is in shared memory",
        ),
        ({"outputs": [{"name": "softmax"}]}, INVALID, "output 'softmax' is unknown to model digits; its outputs: log"),
        (
            {"outputs": [{"name": "logits", "parameters": SHARED}]},
            INVALID,
            "output logits is to be written to shared",
        ),
        (
            {"outputs": [{"name": "logits", "parameters": {"classification": {"int64_param": 0}}}]},
            INVALID,
            "the classification of output logits is 0; expected int64_param of at least 1",
        ),
        (
            {"model_name": "plain", "outputs": [{"name": "blocks"}]},
            UNSUPPORTED,
            "model plain has no block statistics: it has no residual blocks; ask without them",
        ),
        (
            {"parameters": {"sequence_id": {"int64_param": 7}}},
            INVALID,
            "the parameter sequence_id is for stateful models; no model here is one",
        ),
        (
            {"parameters": {"timeout": {"string_param": "1s"}}},
            INVALID,
            "`timeout` must be an int64_param of at least 1",
        ),
    ],
    ids=lambda value: "",
)
def test_status_table(
    stub: GRPCInferenceServiceStub, fields: dict[str, Any], code: grpc.StatusCode, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(raw_request(PIXELS, **fields))
    assert isinstance(caught.value, grpc.Call)
    assert message in str(caught.value.details())
    assert caught.value.code() == code


def test_what_is_ignored(stub: GRPCInferenceServiceStub) -> None:
    ignored = {"priority": {"uint64_param": 3}, "mine": {"string_param": "x"}, "sequence_start": {"bool_param": False}}
    assert arrays(stub.ModelInfer(raw_request(PIXELS, parameters=ignored)))["logits"].shape == (2, 10)


def test_the_parameter_timeout_is_a_deadline(stub: GRPCInferenceServiceStub) -> None:
    late, early = ({"timeout": {"int64_param": microseconds}} for microseconds in (1, 60_000_000))
    with pytest.raises(grpc.RpcError, match="the deadline passed while the request was waiting") as caught:
        stub.ModelInfer(raw_request(PIXELS, parameters=late))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    stub.ModelInfer(raw_request(PIXELS, parameters=early))


WISHES = st.lists(
    st.tuples(
        st.integers(1, 12),  # images
        st.permutations(["logits", "blocks"]).flatmap(lambda names: st.sampled_from([[], names[:1], names])),
        st.integers(0, 3),  # classes of logits
        st.sampled_from(["raw", "contents", "float", "bad"]),
    ),
    min_size=1,
    max_size=25,
)


def wish_request(images: Array, names: list[str], classes: int, form: str, identifier: str) -> pb.ModelInferRequest:
    outputs: list[Any] = [{"name": name} for name in names]
    for output in outputs:
        if classes and output["name"] == "logits":
            output["parameters"] = {"classification": {"int64_param": classes}}
    if form == "contents":
        inputs = [tensor("image", "UINT8", images.shape, uint_contents=images.reshape(-1).tolist())]
        return pb.ModelInferRequest(model_name="digits", id=identifier, inputs=inputs, outputs=outputs)
    request = raw_request(images.astype(np.float32) if form == "float" else images, id=identifier, outputs=outputs)
    if form == "bad":
        request.inputs[0].shape[1] = 7
    return request


def check_wish(
    answer: pb.ModelInferResponse, run: Run, images: Array, names: list[str], classes: int, identifier: str
) -> None:
    assert answer.id == identifier
    assert [output.name for output in answer.outputs] == (names or ["logits"])
    expected = dict(zip(("logits", "blocks"), run(images), strict=True))
    for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        array = expected[output.name]
        if classes and output.name == "logits" and names:
            best = [int(entry.split(b":")[1]) for entry in strings(raw)]
            assert best == np.argsort(-array, axis=1)[:, :classes].reshape(-1).tolist()
        else:
            close(np.frombuffer(raw, np.float32).reshape(tuple(output.shape)), array)


@given(WISHES)
@settings(max_examples=15, deadline=None)
def test_options_survive_batching(address: str, run: Run, test_images: Array, wishes: list[Any]) -> None:
    batches = [test_images[7 * place : 7 * place + wish[0]] for place, wish in enumerate(wishes)]
    requests = [
        wish_request(images, names, classes, form, str(place))
        for place, (images, (_, names, classes, form)) in enumerate(zip(batches, wishes, strict=True))
    ]

    async def unary() -> list[Any]:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = GRPCInferenceServiceStub(channel)
            return await asyncio.gather(*map(stub.ModelInfer, requests), return_exceptions=True)

    async def stream() -> list[Any]:
        async with grpc.aio.insecure_channel(address) as channel:
            return [answer async for answer in GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(requests))]

    answers, streamed = asyncio.run(unary()), asyncio.run(stream())
    for place, ((_, names, classes, form), images) in enumerate(zip(wishes, batches, strict=True)):
        assert streamed[place].infer_response.id == str(place)  # in the order of the requests
        if form == "bad":
            assert answers[place].code() == INVALID
            assert streamed[place].error_message == answers[place].details()
            continue
        assert streamed[place].error_message == ""
        assert streamed[place].infer_response.parameters["triton_final_response"].bool_param
        for answer in (answers[place], streamed[place].infer_response):
            check_wish(answer, run, images, names, classes, str(place))


def test_ready_and_metadata(stub: GRPCInferenceServiceStub) -> None:
    assert stub.ServerLive(pb.ServerLiveRequest()).live
    assert stub.ServerReady(pb.ServerReadyRequest()).ready
    for name, version, ready in (("digits", "", True), ("digits", "1", True), ("digits", "7", False), ("x", "", False)):
        assert stub.ModelReady(pb.ModelReadyRequest(name=name, version=version)).ready == ready
    server = stub.ServerMetadata(pb.ServerMetadataRequest())
    assert (server.name, "classification" in server.extensions) == ("resprobe-server", True)
    model = stub.ModelMetadata(pb.ModelMetadataRequest(name="digits", version="1"))
    assert (model.name, list(model.versions), model.platform) == ("digits", ["1", "2"], "onnxruntime_onnx")
    (image,) = model.inputs
    assert (image.name, image.datatype, list(image.shape)) == ("image", "UINT8", [-1, 8, 8, 1])
    (logits,) = model.outputs
    assert (logits.name, logits.datatype, list(logits.shape)) == ("logits", "FP32", [-1, 10])
    with pytest.raises(grpc.RpcError, match="no model 'vgg'"):
        stub.ModelMetadata(pb.ModelMetadataRequest(name="vgg"))
    with pytest.raises(grpc.RpcError, match="no model 'vgg'"):
        stub.ModelConfig(pb.ModelConfigRequest(name="vgg"))


def test_the_lesion_graphs_are_a_model_with_the_block_scale_as_an_input(
    stub: GRPCInferenceServiceStub, run: Run, repository: Path, test_images: Array
) -> None:
    images, scale = test_images[:3], np.ones((3, 3), np.float32)
    scale[1, 2] = 0
    inputs = [tensor("image", "UINT8", images.shape), tensor("block_scale", "FP32", scale.shape)]
    request = pb.ModelInferRequest(
        model_name="digits.lesion", inputs=inputs, raw_input_contents=[images.tobytes(), scale.tobytes()]
    )
    session = onnxruntime.InferenceSession(
        repository / "digits" / "2" / "lesion.onnx", providers=["CPUExecutionProvider"]
    )
    response = stub.ModelInfer(request)
    assert response.model_name == "digits.lesion"
    logits = arrays(response)["logits"]
    close(logits, session.run(["logits"], {"image": images, "block_scale": scale})[0])
    close(logits[[0, 2]], run(images)[0][[0, 2]])
    assert not np.allclose(logits[1], run(images)[0][1], atol=1e-2)
    request.outputs.add(name="blocks")
    assert arrays(stub.ModelInfer(request))["blocks"].shape == (3, 3, 4)
    metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="digits.lesion"))
    assert [(one.name, list(one.shape)) for one in metadata.inputs] == [
        ("image", [-1, 8, 8, 1]),
        ("block_scale", [-1, 3]),
    ]
    assert list(metadata.versions) == ["1", "2"]
    scale[0, 1] = np.nan
    request.raw_input_contents[1] = scale.tobytes()
    with pytest.raises(grpc.RpcError, match=r"block_scale\[1\] is nan; expected a finite number"):
        stub.ModelInfer(request)
    with pytest.raises(grpc.RpcError, match=r"no model 'plain\.lesion'"):
        stub.ModelMetadata(pb.ModelMetadataRequest(name="plain.lesion"))


def test_statistics_count_images_and_batches(stub: GRPCInferenceServiceStub, test_images: Array) -> None:
    def ask() -> pb.ModelStatistics:
        (found,) = stub.ModelStatistics(pb.ModelStatisticsRequest(name="digits", version="1")).model_stats
        return found

    before = ask()
    for count in (20, 3):  # of at most 8 in a batch: 8, 8, 4 and 3
        stub.ModelInfer(raw_request(test_images[:count], model_version="1"))
    stub.ModelInfer(raw_request(test_images[:3], model_version="1", outputs=[{"name": "blocks"}]))
    after = ask()
    assert (after.name, after.version) == ("digits", "1")
    assert after.inference_count - before.inference_count == 26
    assert after.execution_count - before.execution_count == 5
    for name in ("success", "queue", "compute_infer", "compute_input", "compute_output"):
        one, two = (getattr(found.inference_stats, name) for found in (before, after))
        assert two.count - one.count == 3
        assert two.ns > one.ns
    sizes = [{one.batch_size: one.compute_infer.count for one in found.batch_stats} for found in (before, after)]
    assert {size: count - sizes[0].get(size, 0) for size, count in sizes[1].items()} == {
        **dict.fromkeys(sizes[0], 0),
        **{8: 2, 4: 1, 3: 2},
    }
    assert after.last_inference > 1_700_000_000_000
    every = stub.ModelStatistics(pb.ModelStatisticsRequest()).model_stats
    assert [(one.name, one.version) for one in every] == [
        ("colour", "1"),
        ("colour.lesion", "1"),
        ("digits", "1"),
        ("digits.lesion", "1"),
        ("digits", "2"),
        ("digits.lesion", "2"),
        ("plain", "1"),
    ]
    assert len(stub.ModelStatistics(pb.ModelStatisticsRequest(name="digits")).model_stats) == 2
    with pytest.raises(grpc.RpcError, match="no model 'vgg'"):
        stub.ModelStatistics(pb.ModelStatisticsRequest(name="vgg"))


@pytest.fixture(scope="module")
def foreign(start: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GRPCInferenceServiceStub]:
    """A server of models that take no images."""
    root, rows = tmp_path_factory.mktemp("foreign"), ["n", 3]
    write(root / "sum", [node("Add", "a b", "c")], {"a": (REAL, rows), "b": (REAL, rows)}, {"c": (REAL, rows)})
    write(root / "half", [node("Neg", "a", "b")], {"a": (HALF, rows)}, {"b": (HALF, rows)})
    write(root / "text", [node("Identity", "a", "b")], {"a": (TEXT, ["n"])}, {"b": (TEXT, ["n"])})
    taken = {"a": (REAL, [2, "k"]), "b": (REAL, ["k", 2])}
    write(root / "whole", [node("MatMul", "a b", "c")], taken, {"c": (REAL, [2, 2])})
    with start(root, max_batch=2) as address, grpc.insecure_channel(address) as opened:
        yield GRPCInferenceServiceStub(opened)


def ask(stub: GRPCInferenceServiceStub, model: str, **given: Array) -> pb.ModelInferResponse:
    datatypes = {"float32": "FP32", "float16": "FP16"}
    inputs = [tensor(name, datatypes[str(array.dtype)], array.shape) for name, array in given.items()]
    raw = [array.tobytes() for array in given.values()]
    return stub.ModelInfer(pb.ModelInferRequest(model_name=model, inputs=inputs, raw_input_contents=raw))


def test_other_models_are_served_with_their_own_tensors(foreign: GRPCInferenceServiceStub) -> None:
    a, b = np.arange(15, dtype=np.float32).reshape(5, 3), np.ones((5, 3), np.float32)
    np.testing.assert_array_equal(arrays(ask(foreign, "sum", b=b, a=a))["c"], a + b)
    half = a.astype(np.float16)
    np.testing.assert_array_equal(arrays(ask(foreign, "half", a=half))["b"], -half)
    text = tensor("a", "BYTES", (3,), bytes_contents=["é".encode(), b"", b"x"])
    response = foreign.ModelInfer(pb.ModelInferRequest(model_name="text", inputs=[text]))
    assert [strings(raw) for raw in response.raw_output_contents] == [["é".encode(), b"", b"x"]]


def test_a_model_without_a_batch_axis_runs_request_by_request(foreign: GRPCInferenceServiceStub) -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(arrays(ask(foreign, "whole", a=a, b=b))["c"], a @ b)
    np.testing.assert_array_equal(arrays(ask(foreign, "whole", a=a[:, :0], b=b[:0]))["c"], np.zeros((2, 2)))
    queue = foreign.ModelConfig(pb.ModelConfigRequest(name="sum")).config.dynamic_batching.default_queue_policy
    assert queue.max_queue_size == Config().max_queue
    configs = {name: foreign.ModelConfig(pb.ModelConfigRequest(name=name)).config for name in ("whole", "sum")}
    assert [(name, config.max_batch_size) for name, config in configs.items()] == [("whole", 0), ("sum", 2)]
    assert [list(configs[name].input[0].dims) for name in configs] == [[2, -1], [3]]


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        ("sum", {"a": (2, 3)}, "missing from the request: input b"),
        ("sum", {"a": (2, 3), "b": (1, 3)}, "the inputs have different batches: a 2, b 1; expected the same for all"),
        ("whole", {"a": (1, 3), "b": (3, 2)}, r"input a has shape \[1, 3\]; expected \[2, n\]"),
        ("half", {"a": (1, 3)}, "input a has datatype 'FP32'; expected FP16"),
    ],
)
def test_what_other_models_refuse(
    foreign: GRPCInferenceServiceStub, model: str, given: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(grpc.RpcError, match=message) as caught:
        ask(foreign, model, **{name: np.zeros(shape, np.float32) for name, shape in given.items()})
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == INVALID


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (
            "half",
            tensor("a", "FP16", (1, 3), fp32_contents=[1, 2, 3]),
            "input a is FP16, which raw_input_contents",
        ),
        ("text", tensor("a", "BYTES", (1,), bytes_contents=[b"\xff"]), "input a is not UTF-8"),
    ],
)
def test_contents_that_no_model_takes(foreign: GRPCInferenceServiceStub, model: str, given: Any, message: str) -> None:
    with pytest.raises(grpc.RpcError, match=message) as caught:
        foreign.ModelInfer(pb.ModelInferRequest(model_name=model, inputs=[given]))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == INVALID


def test_a_client_that_knows_only_reflection(channel: grpc.Channel, run: Run, test_images: Array) -> None:
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName("inference.GRPCInferenceService").FindMethodByName("ModelInfer")
    request: Any = message_factory.GetMessageClass(method.input_type)
    response: Any = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    values = test_images[:2].reshape(-1).tolist()
    inputs = [tensor("image", "UINT8", (2, 8, 8, 1), uint_contents=values)]
    close(arrays(call(request(model_name="digits", inputs=inputs)))["logits"], run(test_images[:2])[0])
