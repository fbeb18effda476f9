"""What a training's bytes depend on beside code, params and data."""

import platform
from pathlib import Path

import torch


def describe(device: torch.device, threads: int) -> dict[str, str | int]:
    """The same dict on every run on the same machine: no time, no host name."""
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else device.type,
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
    }


def choose_device(name: str) -> torch.device:
    """The device that train.device names; auto is the first of cuda, mps and cpu."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # where Linux keeps what platform leaves empty
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
