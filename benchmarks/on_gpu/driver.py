"""Values from NVIDIA's driver: by nvidia-smi, or by PyTorch if nvidia-smi is not installed."""

import shutil
import subprocess

MIB = 1 << 20


def query(*fields: str) -> list[str] | None:
    """Returns values of the first GPU, by nvidia-smi's names. If None, nvidia-smi is not installed."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return [field.strip() for field in found.stdout.splitlines()[0].split(",")]


def memory_in_use() -> float:
    """Returns the MiB of the first GPU that all processes use."""
    if found := query("memory.used"):
        return float(found[0])
    import torch

    free, total = torch.cuda.mem_get_info()
    return (total - free) / MIB


def describe() -> dict[str, str]:
    """Returns the names of the first GPU and of its driver."""
    if found := query("name", "driver_version", "memory.total", "clocks.max.sm"):
        name, driver, memory, clock = found
        return {"GPU": f"{name}, {memory} MiB, up to {clock} MHz", "driver": driver}
    import torch

    if not torch.cuda.is_available():
        return {"GPU": "none"}
    properties = torch.cuda.get_device_properties(0)
    return {"GPU": f"{properties.name}, {properties.total_memory // MIB} MiB", "driver": "no nvidia-smi to ask"}
