"""What a net costs: parameters, and multiply-adds for one image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.running import errors
from benchmark.training import recipe


@dataclass(frozen=True)
class Cost:
    parameters: int
    multiply_adds: int


def cost_of(
    architecture: recipe.Architecture, n_classes: int, settings: Mapping[str, Any]
) -> Cost:
    """What one image costs, by torch's own counter: parameters, and multiply-adds.

    It counts convolutions and matrix products, a multiply-add as two operations.
    """
    with errors.naming(architecture.name):
        model = recipe.build_model(architecture, n_classes, settings).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            model(torch.zeros(1, 3, 32, 32))
    return Cost(recipe.n_parameters(model), counter.get_total_flops() // 2)
