"""The settings of torch that every net in a process shares."""

from collections.abc import Mapping

import torch

THREADS = "the number of threads"


def torch_settings() -> dict[str, object]:
    """Return the settings of torch that every net in this process shares."""
    # Imported here, because a cluster cannot pickle it as a global.
    from torch.backends import mkldnn

    return {
        "the default dtype": torch.get_default_dtype(),
        "the gradient mode": torch.is_grad_enabled(),
        THREADS: torch.get_num_threads(),
        "the matmul precision": torch.get_float32_matmul_precision(),
        "the use of oneDNN": mkldnn.enabled,
        "the choice of algorithms": torch.are_deterministic_algorithms_enabled(),
        "anomaly detection": torch.is_anomaly_enabled(),
        "the flushing of denormals": (torch.tensor(1e-38) * 0.1).item() == 0,
    }


def changed_settings(usual: Mapping[str, object]) -> str:
    """Say which of torch's settings a net has changed; empty if none."""
    now = torch_settings()
    if changed := [name for name, value in usual.items() if now[name] != value]:
        return f"it changes a global setting of torch: {changed[0]}; remove that"
    return ""
