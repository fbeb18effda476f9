"""What a training's bytes depend on beside code, params and data."""

import platform
from collections.abc import Iterable
from pathlib import Path

import torch
from torch.backends.cpu import get_cpu_capability
from torch.backends.mps import is_available as mps_is_available

Environment = dict[str, str | int]


def describe(device: torch.device, threads: int) -> Environment:
    """The same dict on every run on the same machine: no time, no host name."""
    return {
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else device.type,
        "processor": _processor(),
        "cpu_capability": get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
    }


def merge(environments: Iterable[Environment]) -> Environment:
    """One description of all; where they differ, what each of them has."""
    each = list(environments)
    differing = {
        key: " / ".join(sorted({str(environment[key]) for environment in each}))
        for key in each[0]
        if len({environment[key] for environment in each}) > 1
    }
    return each[0] | differing


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; else they are imitated."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return any(bool(has) for name, has in found.items() if "bf16" in name)
    return False


def choose_device(name: str) -> torch.device:
    """The device that train.device names; auto is the first of cuda, mps and cpu."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if mps_is_available() else "cpu")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # where Linux keeps what platform leaves empty
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
