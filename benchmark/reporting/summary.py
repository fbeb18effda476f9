"""What came out, in one or two sentences per recipe: the beginning of the report."""

from collections.abc import Mapping

from benchmark.reporting.comparison import Comparison, ranked
from benchmark.reporting.costs import Cost
from benchmark.reporting.results import BASELINE
from benchmark.stats.verdicts import BETTER, SAME, UNKNOWN, format_percent, format_points

MAX_NAMES = 5


def summary(comparison: Comparison, costs: Mapping[str, Cost]) -> str:
    """Say which net comes first, what that is worth, and which to choose among ties."""
    results = comparison.results
    names = ranked(results) if comparison.pairs else results.by_accuracy
    best = names[0]
    accuracy = format_percent(results.metrics[best]["val_accuracy"])
    if len(results.names) == 1:
        return f"{best} classifies {accuracy} of the images correctly."
    of_these = "" if len(names) == len(results.names) else "of the nets with enough runs, "
    first = (
        f"{of_these}{best} comes first: it classifies {accuracy} of the images correctly."
    )
    if not comparison.pairs:
        return f"{first} But these runs cannot say whether it is really better."
    tied = comparison.tied_with(best)
    if not tied:
        others = "each of the others" if of_these else "every other net"
        return f"{first} {_lead(comparison, best)}It is better than {others}."
    sizes = {name: costs[name].parameters for name in (best, *tied)}
    small = [name for name, size in sizes.items() if size == min(sizes.values())]
    are = "is" if len(small) == 1 else "are"
    choice = "" if best in small else f" The smallest of these {are} {listed(small)}."
    if len(tied) == len(names) - 1:
        others = "each of the others" if of_these else "any other net"
        return f"{first} But {others} could be as good.{choice}"
    shown = tied if len(tied) <= MAX_NAMES else [f"{len(tied)} others"]
    lead = _lead(comparison, best)
    but = "" if "We cannot tell" in lead else "But "
    return f"{first} {lead}{but}{listed(shown)} could be as good.{choice}"


def _lead(comparison: Comparison, best: str) -> str:
    """Compare the best net with the baseline."""
    verdict = comparison.vs_baseline.get(best)
    if not verdict:
        return ""
    return {
        BETTER: f"That is {format_points(verdict.estimate.mean)} points more than the "
        f"{BASELINE}. ",
        SAME: f"That is the same as the {BASELINE}. ",
        UNKNOWN: f"We cannot tell whether it is better than the {BASELINE}. ",
    }.get(verdict.word, "")


def listed(names: list[str]) -> str:
    """Join names as in a sentence: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
