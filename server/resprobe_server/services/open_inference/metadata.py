"""Messages about the server and its models: metadata, and the configuration that Triton would have."""

import importlib.metadata
from collections.abc import Iterable, Sequence

from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.contract import IMAGE, LEAN

from resprobe_server.config import Config
from resprobe_server.execution.dtypes import BYTES
from resprobe_server.execution.graph import Tensor
from resprobe_server.execution.providers import CPU
from resprobe_server.models.version import Version
from resprobe_server.services.open_inference.tensors import datatype_of

PLATFORM, BACKEND = "onnxruntime_onnx", "onnxruntime"  # Triton's names of what runs it
EXTENSIONS = ("classification", "model_configuration", "model_repository", "parameters", "statistics")


def server(shared_memory: bool = False) -> pb.ServerMetadataResponse:
    """Returns name and version of the server, and Triton's names of the extensions that it serves."""
    extensions = (*EXTENSIONS, "system_shared_memory") if shared_memory else EXTENSIONS
    return pb.ServerMetadataResponse(
        name="resprobe-server", version=importlib.metadata.version("resprobe"), extensions=extensions
    )


def model(version: Version, served: Iterable[Version]) -> pb.ModelMetadataResponse:
    """Returns a model's inputs, and the outputs that are returned by default.

    Args:
        version: Version of the model.
        served: Every version of every model.
    """

    def describe(tensor: Tensor) -> pb.ModelMetadataResponse.TensorMetadata:
        datatype = datatype_of(tensor.dtype, tensor.name).name
        return pb.ModelMetadataResponse.TensorMetadata(name=tensor.name, datatype=datatype, shape=_sizes(tensor.shape))

    name = version.description.name
    return pb.ModelMetadataResponse(
        name=name,
        versions=[one.description.version for one in served if one.description.name == name],
        platform=PLATFORM,
        inputs=[describe(tensor) for tensor in version.inputs.values()],
        outputs=[describe(tensor) for tensor in version.outputs.values()],
    )


def config(version: Version, options: Config) -> pb.ModelConfig:
    """Returns the configuration that a model would have with Triton, given the options of the server."""
    model, first = version.description, 1 if version.batched else 0
    is_image = version.format is not None
    nhwc, none = pb.ModelInput.FORMAT_NHWC, pb.ModelInput.FORMAT_NONE
    kind = pb.ModelInstanceGroup.KIND_CPU if model.serving.provider == CPU else pb.ModelInstanceGroup.KIND_GPU
    return pb.ModelConfig(
        name=model.name,
        platform=PLATFORM,
        backend=BACKEND,
        version_policy=pb.ModelVersionPolicy(all=pb.ModelVersionPolicy.All()),
        max_batch_size=model.serving.max_batch if version.batched else 0,
        input=[
            pb.ModelInput(
                name=tensor.name,
                data_type=_data_type(tensor),
                format=nhwc if is_image and tensor.name == IMAGE else none,
                dims=_sizes(tensor.shape[first:]),
            )
            for tensor in version.inputs.values()
        ],
        output=[
            pb.ModelOutput(name=tensor.name, data_type=_data_type(tensor), dims=_sizes(tensor.shape[first:]))
            for tensor in version.outputs.values()
        ],
        instance_group=[pb.ModelInstanceGroup(name=model.name, count=1, kind=kind)],
        default_model_filename=LEAN,
        parameters={name: pb.ModelParameter(string_value=text) for name, text in _parameters(version).items()},
        dynamic_batching=pb.ModelDynamicBatching(
            max_queue_delay_microseconds=int(options.max_wait * 1000),
            default_queue_policy=pb.ModelQueuePolicy(allow_timeout_override=True, max_queue_size=options.max_queue),
        ),
    )


def _parameters(version: Version) -> dict[str, str]:
    """Returns what Triton has no field for: the precision, and how pictures (BYTES) become images; texts by name."""
    precision, images = version.description.precision, version.format
    found = {"precision": precision} if precision else {}
    if images is not None and images.preprocessing is not None:
        found |= {"resize": str(images.preprocessing.resize), "interpolation": images.preprocessing.interpolation}
    return found


def _sizes(shape: Sequence[int | None]) -> list[int]:
    return [-1 if size is None else size for size in shape]


def _data_type(tensor: Tensor) -> pb.DataType.ValueType:
    name = datatype_of(tensor.dtype, tensor.name).name
    return pb.DataType.Value(f"TYPE_{'STRING' if name == BYTES else name}")
