"""A model of the repository behind Ray Serve's gRPC proxy: classes only, for a team that runs everything on Ray.

    pip install 'resprobe[server]' 'ray[serve]'
    python examples/ray_serve.py models/resnet20/1 --port 50061
    resprobe classify examples/seven.png --address localhost:50061 --preprocess client

An example, and not how we recommend to serve: run `resprobe-server` behind Envoy (docs/deploy.md). What is lost here:

- a full queue is RESOURCE_EXHAUSTED without RetryInfo, so that clients do not know when to come back;
- there is no grpc.health.v1, but Ray's own service, so that balancers and probes of gRPC do not work;
- every request and response is pickled and crosses two more processes, the proxy and the replica's event loop;
- no deadline reaches the queue, and errors have Ray's text and lose their details;
- no block statistics, lesions, views, versions, streams, tokens, decoding, limits, or metrics named like the server's.
"""

import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import grpc
import numpy as np
import numpy.typing as npt
import onnxruntime
import ray
import tyro
from google.protobuf import json_format
from ray import serve
from ray.serve.config import gRPCOptions
from resprobe_protos import resprobe_pb2 as pb

SERVICE = "resprobe_protos.resprobe_pb2_grpc.add_ResidualServiceServicer_to_server"
MAX_BATCH = 32


@dataclass(frozen=True)
class Options:
    """Options of the example."""

    version: tyro.conf.Positional[Path]
    """Directory of a version: model.onnx and model.json."""
    port: int = 50061
    """Port of the gRPC proxy; the next one is that of Ray's HTTP proxy, which comes with it."""
    replicas: int = 1
    """Number of replicas, each with a CPU."""


@serve.deployment(max_ongoing_requests=4 * MAX_BATCH)
class Classifier:
    """Replica with one session of ONNX Runtime. Methods have the names of the RPCs that they answer."""

    def __init__(self, version: str) -> None:
        """Loads a version."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = Path(version)
        self._session = onnxruntime.InferenceSession(path / "model.onnx", options, providers=["CPUExecutionProvider"])
        self._model = json_format.Parse((path / "model.json").read_text(encoding="utf-8"), pb.Model())

    async def GetModel(self, _request: pb.GetModelRequest) -> pb.Model:
        """Describes the model."""
        return self._model

    async def Classify(
        self, request: pb.ClassifyRequest, grpc_context: serve.grpc_util.RayServegRPCContext
    ) -> pb.ClassifyResponse:
        """Answers a request whose images are pixels in the size of the model's."""
        shape = self._model.image.height, self._model.image.width, self._model.image.channels
        if any(len(image.pixels.data) != np.prod(shape) for image in request.images):
            grpc_context.set_code(grpc.StatusCode.INVALID_ARGUMENT)
            grpc_context.set_details(f"expected pixels of {'×'.join(map(str, shape))} bytes")
            return pb.ClassifyResponse()
        images = [np.frombuffer(image.pixels.data, np.uint8).reshape(shape) for image in request.images]
        top = min(request.top_k or 1, len(self._model.classes))
        response = pb.ClassifyResponse(model=self._model.name, version=self._model.version)
        for image in images:
            logits = await self._run(image)
            powers = np.exp(logits - logits.max())
            best = np.argsort(-logits)[:top]
            classes = [
                pb.ScoredClass(index=int(at), label=self._model.classes[at], probability=powers[at] / powers.sum())
                for at in best
            ]
            response.results.append(pb.ImageResult(classes=classes))
        return response

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0)  # type: ignore[untyped-decorator]  # without Ray
    async def _run(self, images: list[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
        """Runs a batch; Ray gathers it from several requests."""
        return list(self._session.run(["logits"], {"image": np.stack(images)})[0])


def main(options: Options) -> None:
    """Serves until Ctrl-C."""
    ray.init(include_dashboard=False, object_store_memory=128 << 20, log_to_driver=False)
    proxy = gRPCOptions(port=options.port, grpc_servicer_functions=[SERVICE])
    serve.start(grpc_options=proxy, http_options={"host": "127.0.0.1", "port": options.port + 1})
    application = Classifier.options(  # type: ignore[attr-defined]  # a class for type checkers that do not see Ray
        num_replicas=options.replicas
    ).bind(str(options.version.absolute()))
    serve.run(application, name="resprobe", blocking=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
