"""Runs Triton's own client against a server and prints its answers as JSON, which test_tritonclient.py checks.

A program and not a module of the tests: the client's environment is one of its own, see constraints-triton.txt.
Arguments: HOST:PORT of a server with the model `digits`, HOST:PORT of one in explicit mode, a folder with images.npy
and image.png.
"""

import asyncio
import json
import os
import queue
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as sync
import tritonclient.grpc.aio as aio
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException, shared_memory

ADDRESS, EXPLICIT, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
IMAGES = np.load(FOLDER / "images.npy")


def image(values: Any, datatype: str, module: Any = sync) -> Any:
    given = module.InferInput("image", list(values.shape), datatype)
    given.set_data_from_numpy(values)
    return given


def failure(call: Callable[[], Any]) -> list[str | None]:
    """Status and message of a call that must fail."""
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return [None, "it did not fail"]


def metadata(client: Any) -> dict[str, Any]:
    return {
        "live": client.is_server_live(),
        "ready": [client.is_server_ready(), client.is_model_ready("digits"), client.is_model_ready("vgg")],
        "server": client.get_server_metadata(as_json=True),
        "model": client.get_model_metadata("digits", as_json=True),
        "config": client.get_model_config("digits", as_json=True)["config"],
        "statistics": client.get_inference_statistics("digits", as_json=True)["model_stats"],
        "index": client.get_model_repository_index(as_json=True)["models"],
    }


def inference(client: Any) -> dict[str, Any]:
    logits, blocks = sync.InferRequestedOutput("logits"), sync.InferRequestedOutput("blocks")
    best = sync.InferRequestedOutput("logits", class_count=2)
    files = np.array([(FOLDER / "image.png").read_bytes()], object)

    def infer(values: Any, datatype: str, **options: Any) -> Any:
        return client.infer("digits", [image(values, datatype)], **options)

    named = infer(IMAGES, "UINT8", request_id="mine", outputs=[blocks, logits])
    return {
        "uint8": infer(IMAGES, "UINT8").as_numpy("logits").tolist(),
        "fp32": infer(IMAGES.astype(np.float32), "FP32").as_numpy("logits").tolist(),
        "file": infer(files, "BYTES").as_numpy("logits").tolist(),
        "id": named.get_response().id,
        "order": [output.name for output in named.get_response().outputs],
        "blocks": named.as_numpy("blocks").tolist(),
        "best": [
            [entry.decode() for entry in row] for row in infer(IMAGES, "UINT8", outputs=[best]).as_numpy("logits")
        ],
    }


def failures(client: Any) -> dict[str, Any]:
    def infer(values: Any, datatype: str, model: str = "digits", **options: Any) -> Callable[[], Any]:
        return lambda: client.infer(model, [image(values, datatype)], **options)

    return {
        "model": failure(infer(IMAGES, "UINT8", "vgg")),
        "shape": failure(infer(IMAGES[:, :4], "UINT8")),
        "datatype": failure(infer(IMAGES.astype(np.int32), "INT32")),
        "pixel": failure(infer(IMAGES.astype(np.float32) / 7, "FP32")),
        "output": failure(infer(IMAGES, "UINT8", outputs=[sync.InferRequestedOutput("softmax")])),
        "sequence": failure(infer(IMAGES, "UINT8", sequence_id=5)),
        "timeout": failure(infer(IMAGES, "UINT8", timeout=1)),
        "load": failure(lambda: client.load_model("digits")),
    }


def stream(client: Any) -> list[Any]:
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for place in range(6):
        values = IMAGES[:, :4] if place == 2 else IMAGES[: place + 1]
        client.async_stream_infer("digits", [image(values, "UINT8")], request_id=str(place))
    found = [answers.get(timeout=30) for _ in range(6)]
    client.stop_stream()
    return [
        error.message() if error else [result.get_response().id, len(result.as_numpy("logits"))]
        for result, error in found
    ]


async def asynchronous() -> list[int]:
    async with aio.InferenceServerClient(ADDRESS) as client:
        calls = [client.infer("digits", [image(IMAGES[: count + 1], "UINT8", aio)]) for count in range(4)]
        return [len(result.as_numpy("logits")) for result in await asyncio.gather(*calls)]


def repository() -> list[Any]:
    with sync.InferenceServerClient(EXPLICIT) as client:
        states = [client.is_model_ready("digits")]
        client.unload_model("digits")
        states.append(client.is_model_ready("digits"))
        client.load_model("digits")
        states.append(client.is_model_ready("digits"))
        return [*states, failure(lambda: client.load_model("vgg"))]


def in_shared_memory() -> dict[str, Any]:
    """Logits of images that are in shared memory, written to shared memory."""
    with sync.InferenceServerClient(EXPLICIT) as client:
        region = shared_memory.create_shared_memory_region("mine", f"/resprobe-{os.getpid()}", 8192)
        try:
            shared_memory.set_shared_memory_region(region, [IMAGES])
            client.register_system_shared_memory("mine", f"/resprobe-{os.getpid()}", 8192)
            listed = sorted(client.get_system_shared_memory_status(as_json=True)["regions"])
            given, wanted = sync.InferInput("image", list(IMAGES.shape), "UINT8"), sync.InferRequestedOutput("logits")
            given.set_shared_memory("mine", IMAGES.nbytes)
            wanted.set_shared_memory("mine", 40 * len(IMAGES), offset=4096)
            output = client.infer("digits", [given], outputs=[wanted]).get_output("logits")
            found = shared_memory.get_contents_as_numpy(region, np.float32, list(output.shape), offset=4096).tolist()
            client.unregister_system_shared_memory("mine")
            return {"listed": listed, "logits": found, "after": failure(lambda: client.infer("digits", [given]))}
        finally:
            shared_memory.destroy_shared_memory_region(region)


def wire() -> dict[str, dict[str, list[Any]]]:
    """Number, kind and repetition of every field of every message."""
    fields: dict[str, dict[str, list[Any]]] = {}
    waiting = [*service_pb2.DESCRIPTOR.message_types_by_name.values()]
    waiting += model_config_pb2.DESCRIPTOR.message_types_by_name.values()
    while waiting:
        message = waiting.pop()
        waiting += message.nested_types
        fields[message.full_name] = {one.name: [one.number, one.type, one.is_repeated] for one in message.fields}
    return fields


with sync.InferenceServerClient(ADDRESS) as connected:
    results = {
        "inference": inference(connected),
        "failures": failures(connected),
        "stream": stream(connected),
        "aio": asyncio.run(asynchronous()),
        "metadata": metadata(connected),
        "repository": repository(),
        "shared": in_shared_memory(),
        "wire": wire(),
    }
print(json.dumps(results))
