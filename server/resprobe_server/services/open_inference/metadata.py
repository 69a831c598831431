"""What the Open Inference Protocol and Triton's extensions say about the server and its models, as messages."""

import importlib.metadata
from collections.abc import Iterable, Sequence

from resprobe_protos import open_inference_pb2 as pb
from resprobe_protos.contract import IMAGE, LEAN

from resprobe_server.execution.providers import CPU
from resprobe_server.execution.session import Tensor
from resprobe_server.execution.tensors import BYTES, datatype_of
from resprobe_server.models.version import Version

PLATFORM, BACKEND = "onnxruntime_onnx", "onnxruntime"  # Triton's names of what runs it
EXTENSIONS = ("classification", "model_configuration", "model_repository", "parameters", "statistics")


def server() -> pb.ServerMetadataResponse:
    """Name, version, and what is served beyond the protocol, in Triton's words."""
    return pb.ServerMetadataResponse(
        name="resprobe-server", version=importlib.metadata.version("resprobe"), extensions=EXTENSIONS
    )


def model(version: Version, served: Iterable[Version]) -> pb.ModelMetadataResponse:
    """A model's inputs, and the outputs that are returned by default.

    Args:
        version: That was asked for.
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


def config(version: Version) -> pb.ModelConfig:
    """A model as Triton would have it configured."""
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
        dynamic_batching=pb.ModelDynamicBatching(
            max_queue_delay_microseconds=int(version.lean.max_wait * 1e6),
            default_queue_policy=pb.ModelQueuePolicy(
                allow_timeout_override=True, max_queue_size=version.lean.max_queue
            ),
        ),
    )


def statistics(version: Version) -> pb.ModelStatistics:
    """What a version has done since it was loaded, by all of its graphs together.

    A request takes what its batch takes: compute_input to gather the rows of all its requests, compute_infer to run,
    compute_output to hand the rows back. For a request that was split it is the last batch that counts. Refused and
    late requests count as failed.
    """
    counters = [batcher.counters for batcher in {version.lean, version.probe} if batcher is not None]
    served, waited = sum(one.served for one in counters), sum(one.queue.sum for one in counters)
    in_all = sum(one.served_seconds for one in counters)
    unanswered = sum(one.failed + one.refused + one.expired for one in counters)
    stages = [_duration(served, sum(one.stages[at] for one in counters)) for at in range(3)]
    return pb.ModelStatistics(
        name=version.description.name,
        version=version.description.version,
        last_inference=int(max(one.last for one in counters) * 1000),
        inference_count=sum(one.images for one in counters),
        execution_count=sum(one.batches for one in counters),
        inference_stats=pb.InferStatistics(
            success=_duration(served, in_all),
            fail=_duration(unanswered, sum(one.failed_seconds for one in counters)),
            queue=_duration(sum(one.queue.count for one in counters), waited),
            compute_input=stages[0],
            compute_infer=stages[1],
            compute_output=stages[2],
        ),
        batch_stats=[
            pb.InferBatchStatistics(
                batch_size=size,
                compute_input=_duration(count, sum(one.size_seconds[0][size] for one in counters)),
                compute_infer=_duration(count, sum(one.size_seconds[1][size] for one in counters)),
                compute_output=_duration(count, sum(one.size_seconds[2][size] for one in counters)),
            )
            for size, count in enumerate(map(sum, zip(*(one.sizes for one in counters), strict=True)))
            if count
        ],
    )


def _duration(count: int, seconds: float) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=count, ns=int(seconds * 1e9))


def _sizes(shape: Sequence[int | None]) -> list[int]:
    return [-1 if size is None else size for size in shape]


def _data_type(tensor: Tensor) -> pb.DataType.ValueType:
    name = datatype_of(tensor.dtype, tensor.name).name
    return pb.DataType.Value(f"TYPE_{'STRING' if name == BYTES else name}")
