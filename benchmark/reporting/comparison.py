"""Which differences between architectures are more than noise: two families of tests."""

from itertools import combinations

from benchmark.reporting.results import BASELINE, Results
from benchmark.stats.significance import Difference, differences


def against_baseline(results: Results) -> dict[str, Difference]:
    """Each architecture's difference from the baseline, as one family of tests."""
    if results.n_seeds < 2:
        return {}
    others = [name for name in results.names if name != BASELINE]
    found = differences(results.right, [(name, BASELINE) for name in others])
    return dict(zip(others, found, strict=True))


def all_pairs(results: Results) -> list[Difference]:
    """Every pair's difference, the better one first, as a second family."""
    if results.n_seeds < 2:
        return []
    return differences(results.right, combinations(results.by_accuracy, 2))
