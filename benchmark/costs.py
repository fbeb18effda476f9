"""What a net costs: parameters, and multiply-adds for one image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark import recipe


@dataclass(frozen=True)
class Cost:
    parameters: int
    multiply_adds: int


def cost_of(
    architecture: recipe.Architecture, n_classes: int, settings: Mapping[str, Any]
) -> Cost:
    """What one image costs, by torch's own counter.

    It counts convolutions and matrix products, a multiply-add as two operations; on the
    meta device, so nothing is computed.
    """
    with torch.device("meta"):
        model = recipe.build_model(architecture, n_classes, settings).eval()
        image = torch.empty(1, 3, 32, 32)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(image)
    return Cost(sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2)
