"""Metadata, lesion graphs as models, and statistics."""

from pathlib import Path

import grpc
import numpy as np
import onnxruntime
import pytest
from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.open_inference_pb2_grpc import GRPCInferenceServiceStub

from tests.support.open_inference import Array, Run, arrays, close, raw_request, tensor


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
    parameters = stub.ModelConfig(pb.ModelConfigRequest(name="digits")).config.parameters
    assert {name: one.string_value for name, one in parameters.items()} == {"precision": "float32"}
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
