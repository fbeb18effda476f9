"""Compare the nets with the baseline, and with each other: two families of tests."""

from itertools import combinations

from benchmark.reporting.results import BASELINE, Results
from benchmark.stats.significance import Difference, differences


def differences_from_baseline(results: Results) -> dict[str, Difference]:
    """Test each net's difference from the baseline, all as one family."""
    if results.n_seeds < 2:
        return {}
    others = [name for name in results.names if name != BASELINE]
    tested = differences(results.correct, [(name, BASELINE) for name in others])
    return dict(zip(others, tested, strict=True))


def all_pairs(results: Results) -> list[Difference]:
    """Test every pair, the better net first, all as one family."""
    if results.n_seeds < 2:
        return []
    return differences(results.correct, combinations(results.by_accuracy, 2))
