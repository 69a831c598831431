"""Configuration of the server: one frozen dataclass; its fields are the options of the command."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from resprobe_server.errors import StartError

Mode = Literal["watch", "explicit", "once"]
DeviceName = Literal["auto", "cpu", "cuda", "tensorrt"]
MEMORY = re.compile(r"(?P<number>\d+(\.\d+)?) ?(?P<unit>[KMGT]iB)?")
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_AT_LEAST_0 = (
    *("threads", "max_wait", "max_calls", "max_calls_per_peer", "request_timeout"),
    *("max_connection_age", "min_ping_interval", "drain", "max_models"),
)
_AT_LEAST_1 = (
    *("workers", "decode_threads", "max_batch", "max_queue", "max_message", "max_images", "max_pixels", "max_watchers"),
    *("max_streams", "max_in_stream", "keepalive", "keepalive_timeout"),
)
RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(_AT_LEAST_0, (0, math.inf)),
    **dict.fromkeys(_AT_LEAST_1, (1, math.inf)),
    **dict.fromkeys(("max_request_pixels", "max_large_pictures", "max_decode", "max_waiting"), (1, math.inf)),
    "decode_seconds": (0.1, math.inf),
    "poll": (0.01, math.inf),
    "ratio_sample": (0, 1),
}


@dataclass(frozen=True)
class Config:
    """Configuration of a server."""

    repository: tyro.conf.Positional[Path] = Path("models")
    """Directory of the model repository, which holds NAME/VERSION/model.onnx."""
    mode: Mode = "watch"
    """When models load. watch: when the repository changes. explicit: by request. once: at the start only."""
    load: tuple[str, ...] = ()
    """Models to load at the start with --mode explicit; * loads all models."""
    shadow: tuple[str, ...] = ()
    """Candidates that are compared on live images: NAME=VERSION:SHARE, such as resnet20=2:0.1.
    The version is not the default; it runs on that share of the images after they were answered, when there is time."""
    split: tuple[str, ...] = ()
    """Candidates that answer a share of the requests: NAME=VERSION:SHARE, such as resnet20=2:0.05.
    The hash of a request's id decides, so that a request keeps its version; requests without an id stay as they are."""
    allow_incompatible: bool = False
    """Serve a new version of a model even if its inputs or classes differ from those of the version that serves."""
    max_models: int = 0
    """Maximum models in memory; 0 means no limit. The least recently used one is unloaded to make room for another, and
    loaded again when a request asks for it."""
    max_memory: str = ""
    """Maximum memory of all models together, in bytes or such as 4GiB: what this process grew by when they were loaded.
    The least recently used one is unloaded to make room for another. Without a value, there is no limit."""
    poll: float = 5.0
    """Maximum seconds between scans of the repository with --mode watch; reported changes are loaded at once."""
    address: str = "127.0.0.1:50051"
    """HOST:PORT to listen on; port 0 picks a free port.
    If other machines can reach it, as they reach 0.0.0.0:50051, it needs --tls-cert or --insecure-plaintext."""
    workers: int = 1
    """Processes that serve the address together, each with its own models; cores and memory limits are divided.
    More than one pays where one process cannot keep the cores busy: cheap nets, many connections."""
    tls_cert: Path | None = None
    """PEM file with the certificate of the server, read again when it changes; needs --tls-key.
    Without a certificate, connections are plaintext."""
    tls_key: Path | None = None
    """PEM file with the key of --tls-cert, read again when it changes."""
    tls_client_ca: Path | None = None
    """PEM file with the authorities of client certificates; every client must then present one (mutual TLS)."""
    insecure_plaintext: bool = False
    """Allow an --address that other machines can reach without TLS."""
    tokens: Path | None = None
    """TOML file with the name, SHA-256 and rights of each client token, read again when it changes.
    Without the file, clients need no token."""
    health_address: str = ""
    """HOST:PORT of a second port for health checks alone, without TLS and tokens, as Kubernetes needs it.
    Without an address, there is no such port."""
    device: DeviceName = "auto"
    """Device that runs the graphs. auto: CUDA if there is a GPU, else the CPU. Others fail if it cannot be used."""
    cuda_graphs: bool = True
    """On CUDA, record the work of each batch size once and replay it. Without it every batch runs as the largest
    one, because CUDA plans its convolutions anew, for a tenth of a second or more, when the batch size changes."""
    engines: Path | None = None
    """Directory that keeps the engines of TensorRT. Without one, every start builds them, which can last minutes."""
    threads: int = 0
    """Inference threads of each session on the CPU; 0 means one for each core, divided among the workers."""
    decode_threads: int = 2
    """Threads that decode and resize pictures."""
    max_batch: int = 32
    """Maximum images in a batch; larger requests are split."""
    max_queue: int = 4096
    """Maximum images that wait for a graph; further requests are refused with RESOURCE_EXHAUSTED."""
    max_waiting: int = 256
    """Maximum MiB that wait for graphs or for models to be loaded, all models together.
    Further requests are refused with RESOURCE_EXHAUSTED."""
    max_wait: float = 0.0
    """Maximum milliseconds that a batch that is not full waits for more requests while the device is idle."""
    max_message: int = 64
    """Maximum MiB of a request or response."""
    max_images: int = 4096
    """Maximum images in a request."""
    max_pixels: int = 50
    """Maximum megapixels of an encoded picture; a larger picture is refused before it is decoded."""
    max_request_pixels: int = 200
    """Maximum megapixels of all encoded pictures in a request together."""
    max_large_pictures: int = 16
    """Maximum large pictures (over one megapixel or one MiB) that wait for a process that decodes them."""
    decode_seconds: float = 5.0
    """Maximum seconds to decode one large picture; a picture that needs longer is refused."""
    max_decode: int = 256
    """Maximum MiB of encoded pictures and of tensors that are being decoded or converted."""
    max_calls: int = 1024
    """Maximum calls under way, not counting health checks; 0 means no limit.
    Further calls are refused with RESOURCE_EXHAUSTED."""
    max_calls_per_peer: int = 0
    """Maximum calls under way of one client: the holder of a token, or else an IP address.
    0 leaves places for other clients: a client that is alone may have 7/8 of --max-calls."""
    shared_memory: bool = False
    """Let callers on this machine send and receive tensors in shared memory (/dev/shm), as Triton does.
    They can have the server read and write what its user can in /dev/shm; with --tokens, only keys with their name."""
    request_timeout: float = 20.0
    """Maximum seconds from the start of a call, or of a stream, to its first request. 0 means no limit."""
    max_watchers: int = 256
    """Maximum streams that watch health (Health/Watch); one IP address may open a quarter of them."""
    max_streams: int = 100
    """Maximum calls under way on one connection; further calls wait in the client."""
    max_in_stream: int = 256
    """Maximum requests of one stream that are worked on at a time; further requests are not yet read."""
    keepalive: float = 60.0
    """Seconds without traffic after which the server sends a ping on a connection."""
    keepalive_timeout: float = 20.0
    """Maximum seconds until a client answers a ping; then the connection is closed."""
    min_ping_interval: float = 10.0
    """Minimum seconds between client pings; clients that ping more often are disconnected."""
    max_connection_age: float = 0.0
    """Seconds after which clients are asked to connect again, to spread load over new replicas. 0 means never."""
    metrics_address: str = ""
    """HOST:PORT of Prometheus metrics over HTTP, for example 127.0.0.1:9091; port 0 picks a free port.
    Without an address, there are no metrics."""
    ratio_sample: float = 0.01
    """Share of the images whose block ratios ‖F(x)‖/‖s(x)‖ and prediction depth are sampled for the metrics, from 0
    to 1."""
    traces: Literal["off", "otlp"] = "off"
    """Traces of requests. off: none. otlp: OpenTelemetry over gRPC, sent to OTEL_EXPORTER_OTLP_ENDPOINT."""
    untested_grpcio: bool = False
    """Start with a version of grpcio that was not tested with this server."""
    drain: float = 30.0
    """Maximum seconds to finish the accepted requests when the server shuts down."""

    @property
    def pixel_limit(self) -> int:
        """Maximum pixels in an encoded picture."""
        return self.max_pixels * 1_000_000

    @property
    def request_pixel_limit(self) -> int:
        """Maximum pixels in all encoded pictures of a request."""
        return self.max_request_pixels * 1_000_000

    @property
    def decode_bytes(self) -> int:
        """Maximum bytes that are being decoded or converted."""
        return self.max_decode << 20

    @property
    def waiting_bytes(self) -> int:
        """Maximum bytes that wait for graphs."""
        return self.max_waiting << 20

    @property
    def memory_limit(self) -> int:
        """Maximum bytes of all models together; 0 means no limit. Raises StartError if it is not a number of bytes."""
        if not self.max_memory:
            return 0
        found = MEMORY.fullmatch(self.max_memory.strip())
        size = 0 if found is None else int(float(found["number"]) * UNITS[found["unit"] or ""])
        if not size:
            raise StartError(
                f"max_memory is {self.max_memory!r}; expected a number of bytes, or such as 512MiB or 4GiB"
            )
        return size

    def check(self) -> None:
        """Checks the ranges of all numbers. Raises StartError for a number out of its range."""
        _ = self.memory_limit
        for name, (minimum, maximum) in RANGES.items():
            value = getattr(self, name)
            if not minimum <= value <= maximum:
                expected = f"{minimum} or more" if maximum == math.inf else f"{minimum} to {maximum}"
                raise StartError(f"{name} is {value}; expected {expected}")
