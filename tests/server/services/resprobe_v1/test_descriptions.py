"""Models are listed and described, and health and reflection name them."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub


def test_models_are_listed_and_described(stub: ResidualServiceStub, repository: Path) -> None:
    models = stub.ListModels(pb.ListModelsRequest()).models
    assert [(model.name, model.version, model.serving.is_default) for model in models] == [
        ("colour", "1", True),
        ("digits", "1", False),
        ("digits", "2", True),
        ("plain", "1", True),
    ]
    assert [model.serving.has_blocks for model in models] == [True, True, True, False]
    assert {model.serving.provider for model in models} == {"CPUExecutionProvider"}
    assert stub.GetModel(pb.GetModelRequest(name="digits")) == models[2]
    assert stub.GetModel(pb.GetModelRequest(name="digits", version="1")) == models[1]
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetModel(pb.GetModelRequest(name="vgg"))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_has_a_name_for_each_model(channel: grpc.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", "resprobe.v1.ResidualService", "digits", "plain", "colour"):
        found = health.Check(health_pb2.HealthCheckRequest(service=name))
        assert found.status == health_pb2.HealthCheckResponse.SERVING, name
    with pytest.raises(grpc.RpcError):
        health.Check(health_pb2.HealthCheckRequest(service="vgg"))


def test_reflection_describes_the_services(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {"resprobe.v1.ResidualService", "grpc.health.v1.Health"} <= set(database.get_services())
    file = database.FindFileContainingSymbol("resprobe.v1.ResidualService")
    assert "ClassifyStream" in {method.name for method in file.service[0].method}
