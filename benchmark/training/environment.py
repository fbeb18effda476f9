"""Hardware and versions, which affect results as code, params and data do."""

import platform
from collections.abc import Iterable
from pathlib import Path

import torch
from torch.backends.cpu import get_cpu_capability
from torch.backends.mps import is_available as mps_is_available

Environment = dict[str, str | int]


def describe(device: torch.device, threads: int) -> Environment:
    """Describe this machine. The result is the same on every run: no time, no host name."""
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
    """Merge descriptions into one. If a key's values differ, join them with " / "."""
    first, *others = environments
    differing = {
        key: " / ".join(sorted({str(e[key]) for e in (first, *others)}))
        for key in first
        if any(other[key] != first[key] for other in others)
    }
    return first | differing


def computes_in_bf16(device: torch.device) -> bool:
    """Return whether the device is known to support bfloat16 in hardware. False for mps."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(bool(has) for name, has in capabilities.items() if "bf16" in name)
    return False


def choose_device(name: str) -> torch.device:
    """Return the device for a value of train.device. auto: cuda, else mps, else cpu."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if mps_is_available() else "cpu")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # on Linux, platform.processor() is empty
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
