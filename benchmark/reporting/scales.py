"""Where the marks of the report's HTML pictures are, in percent of their width."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

from benchmark.reporting.costs import Cost
from benchmark.reporting.results import Results


@dataclass(frozen=True)
class Scale:
    """A scale from low to high, along which values are placed."""

    low: float
    high: float
    transform: Callable[[float], float] = float

    def share(self, value: float) -> float:
        """Return where the value is, from 0 to 1."""
        low, high = self.transform(self.low), self.transform(self.high)
        return (self.transform(value) - low) / ((high - low) or 1)

    def place(self, value: float) -> str:
        return f"{100 * self.share(value):.4g}%"

    def rest(self, value: float) -> str:
        """Return the distance to the end of the scale."""
        return f"{100 * (1 - self.share(value)):.4g}%"


def ranking_scale(results: Results) -> Scale:
    """Return the scale of the ranking: it contains every run and every interval."""
    values = [float(a) for seeds in results.seeds.values() for a in seeds["val_accuracy"]]
    values += [limit for interval in results.intervals.values() for limit in interval]
    return Scale(min(values), max(values))


def cost_scale(costs: Collection[Cost]) -> Scale:
    """Return the logarithmic scale of the multiply-adds. Its low end is no net's cost."""
    counts = [cost.multiply_adds for cost in costs]
    # A net can be without any multiply-adds.
    return Scale(min(counts) / 2, max(counts), lambda count: math.log(max(1, count)))
