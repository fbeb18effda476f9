"""The cost of a net: its parameters, its multiply-adds for one image, its training time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.params import Params, row_of
from benchmark.reporting.results import read_json
from benchmark.running import errors
from benchmark.training import recipe

# Images per second on all cores, which `make bench` measures.
SPEED = Path("docs/speed.json")
IMAGES_PER_CLASS = 5000


@dataclass(frozen=True)
class Cost:
    parameters: int
    multiply_adds: int


def cost_of(
    architecture: recipe.Architecture,
    n_classes: int,
    settings: Mapping[str, Any],
    flip: bool = False,
) -> Cost:
    """Count the parameters, and the multiply-adds for one image with torch's FLOP counter.

    Multiply-adds are counted only in convolutions and matrix products. flip: whether each
    image is also scored flipped.
    """
    with errors.blame_architecture(architecture.name):
        model = recipe.build_model(architecture, n_classes, settings).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            model(torch.zeros(1, 3, 32, 32))
    # The counter counts a multiply-add as two operations.
    multiply_adds = counter.get_total_flops() // 2
    return Cost(recipe.n_parameters(model), multiply_adds * (1 + flip))


def by_cost(costs: Mapping[str, Cost]) -> list[str]:
    """Return the nets in the order of their multiply-adds, cheapest first."""
    return sorted(costs, key=lambda name: costs[name].multiply_adds)


def front(costs: Mapping[str, float], accuracy: Mapping[str, float]) -> list[str]:
    """Return the nets that are more accurate than all that cost no more, cheapest first.

    Both arguments: by net.
    """
    found: list[str] = []
    for name in sorted(costs, key=lambda name: (costs[name], -accuracy[name])):
        if not found or accuracy[name] > accuracy[found[-1]]:
            found.append(name)
    return found


def training_seconds(loaded: Params) -> dict[str, float]:
    """Return by row about how long a training run takes on one core.

    Only for rows that train on CIFAR-10 in fp32, and whose net had the same settings when
    it was measured.
    """
    if loaded.data.source != "cifar10" or not SPEED.exists():
        return {}
    measured = read_json(SPEED, "make it with `make bench`")
    cores = measured["environment"]["cores"]
    n_images = IMAGES_PER_CLASS * len(loaded.data.classes) * (1 - loaded.data.holdout)
    seconds = {}
    for row in (row_of(loaded, name) for name in loaded.rows):
        is_known = measured.get("settings", {}).get(row.label) == row.settings
        if is_known and row.training.precision == "fp32":
            rate = median(measured["rates"][row.label]["pipeline"]) / cores
            seconds[row.name] = row.training.epochs * n_images / rate
    return seconds
