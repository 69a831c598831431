"""What can be configured: one frozen dataclass; its fields are the options of the command."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

Mode = Literal["watch", "explicit", "once"]
DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Config:
    """Configuration of a server."""

    repository: tyro.conf.Positional[Path] = Path("models")
    """Model repository: NAME/VERSION/model.onnx."""
    mode: Mode = "watch"
    """watch: follow the repository. explicit: load and unload by request. once: load all at the start and no more."""
    load: tuple[str, ...] = ()
    """Models to load at the start in explicit mode; * means all."""
    poll: float = 5.0
    """Seconds between looks at the repository where the system notifies of no change, as on network file systems."""
    address: str = "127.0.0.1:50051"
    """HOST:PORT to listen on; port 0 takes a free one."""
    device: DeviceName = "auto"
    """auto: CUDA where there is a GPU, else the CPU. cuda: refuse to start without one."""
    threads: int = 0
    """Inference threads of each session on the CPU; 0: all cores."""
    decode_threads: int = 2
    """Threads that decode and resize pictures."""
    max_batch: int = 32
    """Images in a batch at the most. Larger requests are split."""
    max_queue: int = 4096
    """Images waiting for a graph at the most; more are refused with RESOURCE_EXHAUSTED."""
    max_wait: float = 0.0
    """Milliseconds that a batch waits to be filled while the device is idle."""
    max_message: int = 64
    """MiB in a message at the most."""
    max_pixels: int = 50
    """Megapixels in an encoded picture at the most."""
    metrics_address: str = ""
    """HOST:PORT of Prometheus metrics over HTTP, for example 127.0.0.1:9091; port 0 takes a free one. Empty: none."""
    ratio_sample: float = 0.01
    """Share of the images whose ratio ‖F(x)‖/‖s(x)‖ per block goes into the metrics, if there are any; 0: none."""
    traces: Literal["off", "otlp"] = "off"
    """otlp: OpenTelemetry traces over gRPC; OTEL_EXPORTER_OTLP_ENDPOINT and its like say where to."""
    drain: float = 30.0
    """Seconds to finish what was accepted when told to stop."""
