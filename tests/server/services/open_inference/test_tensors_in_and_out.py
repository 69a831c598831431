"""Tensors in every form that the protocol has, and the outputs that are asked for."""

import asyncio
import io
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub

from tests.support.open_inference import Array, Run, arrays, close, raw_request, strings, tensor


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
            assert answers[place].code() == grpc.StatusCode.INVALID_ARGUMENT
            assert streamed[place].error_message == answers[place].details()
            continue
        assert streamed[place].error_message == ""
        assert streamed[place].infer_response.parameters["triton_final_response"].bool_param
        for answer in (answers[place], streamed[place].infer_response):
            check_wish(answer, run, images, names, classes, str(place))


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


def test_outputs_of_the_inspecting_graph_by_name(stub: GRPCInferenceServiceStub, test_images: Array) -> None:
    images, names = test_images[:11], ("cam", "maps", "logits", "readouts", "channels")  # more than a batch
    outputs = [{"name": name} for name in names]
    intact = arrays(stub.ModelInfer(raw_request(images, outputs=outputs)))
    assert {name: array.shape[1:] for name, array in intact.items()} == {
        "cam": (10, 2, 2),
        "maps": (2, 84),
        "logits": (10,),
        "readouts": (1, 10),
        "channels": (2, 112),
    }
    close(intact["readouts"][:, -1], intact["logits"])
    scale = np.ones((11, 3), np.float32)
    scale[:, 1] = 0
    request = raw_request(images, model_name="digits.lesion", outputs=outputs)
    request.inputs.add(**tensor("block_scale", "FP32", (11, 3)))
    request.raw_input_contents.append(scale.tobytes())
    found = arrays(stub.ModelInfer(request))
    close(found["maps"][..., :80], intact["maps"][..., :80])  # those up to the block that was removed
    assert np.abs(found["maps"][..., 80:] - intact["maps"][..., 80:]).max() > 0.01
