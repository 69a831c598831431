"""What can be configured: one frozen dataclass; its fields are the options of the command."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from resprobe_server.errors import StartError

Mode = Literal["watch", "explicit", "once"]
DeviceName = Literal["auto", "cpu", "cuda", "tensorrt"]
_FROM_0 = (
    *("threads", "max_wait", "max_calls", "max_calls_per_peer", "request_timeout"),
    *("max_connection_age", "min_ping_interval", "drain"),
)
_FROM_1 = (
    *("decode_threads", "max_batch", "max_queue", "max_message", "max_images", "max_pixels", "max_watchers"),
    *("max_streams", "max_in_stream", "keepalive", "keepalive_timeout"),
)
RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(_FROM_0, (0, math.inf)),
    **dict.fromkeys(_FROM_1, (1, math.inf)),
    **dict.fromkeys(("max_request_pixels", "max_large_pictures", "max_decode", "max_waiting"), (1, math.inf)),
    "decode_seconds": (0.1, math.inf),
    "poll": (0.01, math.inf),
    "ratio_sample": (0, 1),
}


@dataclass(frozen=True)
class Config:
    """Configuration of a server."""

    repository: tyro.conf.Positional[Path] = Path("models")
    """Model repository: NAME/VERSION/model.onnx."""
    mode: Mode = "watch"
    """watch: follow the repository. explicit: load and unload by request. once: load all at the start and no more."""
    load: tuple[str, ...] = ()
    """Models to load at the start in explicit mode; * means all."""
    allow_incompatible: bool = False
    """Serve a new version of a model though it takes other inputs or has other classes than the one that serves."""
    poll: float = 5.0
    """Seconds between looks at the repository where the system notifies of no change, as on network file systems."""
    address: str = "127.0.0.1:50051"
    """HOST:PORT to listen on; port 0 takes a free one. Other machines reach 0.0.0.0:PORT; that needs TLS."""
    tls_cert: Path | None = None
    """PEM file of the server's certificate, read again when it changes. With --tls-key it turns TLS on."""
    tls_key: Path | None = None
    """PEM file of the certificate's key."""
    tls_client_ca: Path | None = None
    """PEM file of the authorities that clients' certificates must come from: mutual TLS."""
    insecure_plaintext: bool = False
    """Listen without TLS where other machines can reach it."""
    tokens: Path | None = None
    """TOML file of callers, the SHA-256 of their tokens and their rights, read again when it changes."""
    health_address: str = ""
    """HOST:PORT for health checks alone, without TLS and tokens, which those of Kubernetes cannot."""
    device: DeviceName = "auto"
    """auto: CUDA where there is a GPU, else the CPU. cuda, tensorrt: refuse to start without."""
    cuda_graphs: bool = False
    """Record on CUDA what each batch size takes, and play it back: less work for each batch of a small net."""
    engines: Path | None = None
    """Directory in which TensorRT keeps its engines from one start to the next; building them takes minutes."""
    threads: int = 0
    """Inference threads of each session on the CPU; 0: all cores."""
    decode_threads: int = 2
    """Threads that decode and resize pictures."""
    max_batch: int = 32
    """Maximum images in a batch; larger requests are split."""
    max_queue: int = 4096
    """Maximum images waiting for a graph; more are refused with RESOURCE_EXHAUSTED."""
    max_waiting: int = 256
    """Maximum MiB of images and tensors that wait for graphs, all models together; more are refused with
    RESOURCE_EXHAUSTED."""
    max_wait: float = 0.0
    """Milliseconds that a batch waits to be filled while the device is idle."""
    max_message: int = 64
    """Maximum MiB in a message."""
    max_images: int = 4096
    """Maximum images in a request."""
    max_pixels: int = 50
    """Maximum megapixels in an encoded picture; a larger one is refused unread."""
    max_request_pixels: int = 200
    """Maximum megapixels in all encoded pictures of a request together."""
    max_large_pictures: int = 16
    """Maximum number of pictures of over a megapixel or a MiB that wait to be decoded, in processes of their own."""
    decode_seconds: float = 5.0
    """Maximum seconds that decoding one large picture may take."""
    max_decode: int = 256
    """Maximum MiB of encoded pictures that are being decoded, and of tensors that are being converted."""
    max_calls: int = 1024
    """Maximum calls under way, health checks aside; more are refused with RESOURCE_EXHAUSTED. 0: no limit."""
    max_calls_per_peer: int = 0
    """Maximum calls under way of one caller: the holder of a token, or else an IP address. 0: a share of --max-calls
    that leaves places for others, 7/8 for a caller that is alone."""
    request_timeout: float = 20.0
    """Seconds that the request of a call, or the first of a stream, may take to come; 0: no limit."""
    max_watchers: int = 256
    """Maximum streams of health changes (Health/Watch); one IP address may have a quarter of them."""
    max_streams: int = 100
    """Maximum calls under way on one connection; gRPC keeps more waiting in the client."""
    max_in_stream: int = 256
    """Requests of one stream that are worked on at a time; more are not read yet."""
    keepalive: float = 60.0
    """Seconds of silence after which a connection is tested with a ping."""
    keepalive_timeout: float = 20.0
    """Seconds without an answer to that ping after which the connection is closed."""
    min_ping_interval: float = 10.0
    """Seconds between a client's own pings at the least; who pings more often is disconnected."""
    max_connection_age: float = 0.0
    """Seconds after which a client is asked to connect again, so that load spreads over new replicas. 0: never."""
    metrics_address: str = ""
    """HOST:PORT of Prometheus metrics over HTTP, for example 127.0.0.1:9091; port 0 takes a free one. Empty: none."""
    ratio_sample: float = 0.01
    """Share of the images whose ratio ‖F(x)‖/‖s(x)‖ per block goes into the metrics, if there are any; 0: none."""
    traces: Literal["off", "otlp"] = "off"
    """otlp: OpenTelemetry traces over gRPC; OTEL_EXPORTER_OTLP_ENDPOINT and its like say where to."""
    untested_grpcio: bool = False
    """Start with a version of grpcio that was not tested with this server."""
    drain: float = 30.0
    """Seconds to finish what was accepted when told to stop."""

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
        """Maximum bytes of what is being decoded or converted."""
        return self.max_decode << 20

    @property
    def waiting_bytes(self) -> int:
        """Maximum bytes of what waits for graphs."""
        return self.max_waiting << 20

    def check(self) -> None:
        """Raises StartError for a number out of its range."""
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                expected = f"{least} or more" if most == math.inf else f"{least} to {most}"
                raise StartError(f"{name} is {value}; expected {expected}")
