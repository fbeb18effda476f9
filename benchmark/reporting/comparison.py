"""Compare the nets with the baseline, and with each other: two families of tests."""

from collections.abc import Iterable
from itertools import combinations

from benchmark.reporting.results import BASELINE, Results
from benchmark.stats.folds import fold_differences
from benchmark.stats.significance import (
    Difference,
    compact_letter_display,
    differences,
    holm,
)

# With fewer seeds, over 5% of such tables have a false alarm: docs/significance.md.
ENOUGH_SEEDS = 5


def differences_from_baseline(results: Results) -> dict[str, Difference]:
    """Test each net's difference from the baseline, all as one family."""
    if BASELINE not in results.comparable:
        return {}
    others = [name for name in results.comparable if name != BASELINE]
    tested = compare(results, [(name, BASELINE) for name in others])
    return dict(zip(others, tested, strict=True))


def all_pairs(results: Results) -> list[Difference]:
    """Test every pair, the better net first, all as one family."""
    return compare(results, combinations(ranked(results), 2))


def ranked(results: Results) -> list[str]:
    """Return the comparable nets, best first."""
    return [name for name in results.by_accuracy if name in results.comparable]


def letters_of(results: Results, pairs: Iterable[Difference]) -> dict[str, str]:
    """Return the letters of the comparable nets, best first; empty without pairs."""
    pairs = list(pairs)
    return compact_letter_display(ranked(results), pairs) if pairs else {}


def compare(results: Results, pairs: Iterable[tuple[str, str]]) -> list[Difference]:
    pairs = list(pairs)
    if not pairs or not results.n_folds:
        return differences(results.correct, pairs)
    correct = {name: results.correct[name] for name in results.comparable}
    return holm(pairs, fold_differences(correct, results.folds, pairs))


def warning(results: Results) -> str:
    """Say what limits the verdicts of a family, and which nets learned nothing."""
    sentences = [
        f"With {_seeds(stuck)}, {name} predicts the same class for every image: it "
        "learned nothing."
        for name, stuck in results.stuck.items()
    ]
    covered = [
        f"{name} covers {n} of {results.n_folds} folds"
        for name, n in results.incomplete.items()
    ]
    if covered:
        sentences.append(f"{', '.join(covered)}, so there is no verdict.")
    if not results.n_folds and results.n_seeds < 2:
        sentences.append("One seed cannot show which differences are real.")
    elif not results.n_folds and results.n_seeds < ENOUGH_SEEDS:
        sentences.append(
            f"With fewer than {ENOUGH_SEEDS} seeds, false alarms can exceed 5%."
        )
    return " ".join(sentences)


def _seeds(numbers: list[int]) -> str:
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
