"""The cost of a net: its parameters, and its multiply-adds for one image."""

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
    """Count the parameters, and the multiply-adds for one image with torch's FLOP counter.

    Multiply-adds are counted only in convolutions and matrix products.
    """
    with errors.blame_architecture(architecture.name):
        model = recipe.build_model(architecture, n_classes, settings).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            model(torch.zeros(1, 3, 32, 32))
    # The counter counts a multiply-add as two operations.
    return Cost(recipe.n_parameters(model), counter.get_total_flops() // 2)
