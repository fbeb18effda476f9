"""Hardware and versions, which affect results as code, params and data do."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the import takes seconds, and finished cells need no torch
    import torch

Environment = dict[str, str | int]

# Between the values of several machines.
SEVERAL = " / "
# The instruction sets for which torch and oneDNN have kernels of their own.
INSTRUCTIONS = ("fma", "avx", "amx", "bf16", "asimd", "sve")


def describe(device: "torch.device", threads: int) -> Environment:
    """Describe this machine. The result is the same on every run: no time, no host name."""
    import torch
    from torch.backends.cpu import get_cpu_capability

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


def identity(device: str) -> dict[str, str]:
    """Return everything about this machine that can change a result.

    Like `describe`, but without torch if the device is the CPU. device: a value of
    train.device.
    """
    limits = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")
    return {
        "torch": version("torch"),
        "device": device if device == "cpu" else str(describe(choose_device(device), 1)),
        "processor": _processor(),
        "instructions": " ".join(
            sorted(f for f in _cpuinfo("flags", "Features").split() if _matters(f))
        ),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: os.environ.get(name, "") for name in limits},
    }


def is_merged(environment: Environment) -> bool:
    """Return whether this describes several machines."""
    return any(SEVERAL in str(value) for value in environment.values())


def merge(environments: Iterable[Environment]) -> Environment:
    """Merge descriptions into one. If a key's values differ, join them with " / "."""
    first, *others = environments
    differing = {
        key: SEVERAL.join(
            sorted({v for e in (first, *others) for v in str(e[key]).split(SEVERAL)})
        )
        for key in first
        if any(other[key] != first[key] for other in others)
    }
    return first | differing


def computes_in_bf16(device: "torch.device") -> bool:
    """Return whether the device is known to support bfloat16 in hardware. False for mps."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(bool(has) for name, has in capabilities.items() if "bf16" in name)
    return False


def choose_device(name: str) -> "torch.device":
    """Return the device for a value of train.device. auto: cuda, else mps, else cpu."""
    import torch
    from torch.backends.mps import is_available as mps_is_available

    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if mps_is_available() else "cpu")


def _processor() -> str:
    # On Linux, platform.processor() is empty.
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _matters(flag: str) -> bool:
    return any(name in flag for name in INSTRUCTIONS)


def _cpuinfo(*keys: str) -> str:
    """Return the first value of these keys in /proc/cpuinfo, or an empty string."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in keys:
                return value.strip()
    return ""
