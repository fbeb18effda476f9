"""Judge all pairs of a family of rows. Every page takes its words from here.

The rows of a family are in one table, and were tested on the same images. Its pairs are
two families of tests, because readers ask two questions: which nets differ from the
baseline, and which of the others differ from each other? Each pair is in one of them, so it
has one verdict, and a new net makes the correction only a little stricter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from benchmark.reporting.results import BASELINE, Results
from benchmark.stats.folds import MIN_FOLDS, Folds, fold_differences
from benchmark.stats.uncertainty import Matrix, ScoredNet, compare_nets
from benchmark.stats.verdicts import MIN_SEEDS, Verdict, verdicts

# With fewer seeds, over 5% of such tables have a false alarm: docs/significance.md.
ENOUGH_SEEDS = 5


@dataclass(frozen=True)
class Comparison:
    """The verdicts of a family. The first net of each pair has the higher accuracy.

    results: the family. pairs: in the order of the ranking.
    """

    results: Results
    pairs: list[Verdict]

    @cached_property
    def vs_baseline(self) -> dict[str, Verdict]:
        """By net, in the order of params.yaml: is it better than the baseline?"""
        found = {}
        for pair in self.pairs:
            if BASELINE in (pair.first, pair.second):
                verdict = pair if pair.second == BASELINE else pair.reversed
                found[verdict.first] = verdict
        return {name: found[name] for name in self.results.names if name in found}

    def between(self, first: str, second: str) -> Verdict | None:
        """Return the verdict on these two nets, if there is one."""
        for pair in self.pairs:
            if (pair.first, pair.second) == (first, second):
                return pair
            if (pair.first, pair.second) == (second, first):
                return pair.reversed
        return None

    def tied_with(self, name: str) -> list[str]:
        """Return the nets that are neither better nor worse, best first."""
        return [
            pair.second if pair.first == name else pair.first
            for pair in self.pairs
            if name in (pair.first, pair.second) and not pair.is_difference
        ]

    def beaten_by(self, name: str) -> list[str]:
        """Return the nets that this one is better than, best first."""
        return [
            pair.second for pair in self.pairs if pair.first == name and pair.is_difference
        ]

    @cached_property
    def changed_words(self) -> dict[tuple[str, str], list[int]]:
        """By pair: without which one seed, or fold, the word would be another.

        Empty if too few would remain for verdicts.
        """
        results = self.results
        n_parts = results.n_folds or results.max_seeds
        counts = [len(results.seeds[name]) for name in results.comparable]
        fewest = results.n_folds or min(counts, default=0)
        if fewest <= (MIN_FOLDS if results.n_folds else MIN_SEEDS):
            return {}
        changed: dict[tuple[str, str], list[int]] = {
            (pair.first, pair.second): [] for pair in self.pairs
        }
        for part in range(n_parts):
            for pair, other in zip(self.pairs, _without(results, part), strict=True):
                if pair.word != other.word:
                    changed[pair.first, pair.second].append(part)
        return changed


def compare(results: Results) -> Comparison:
    """Judge all pairs of comparable rows."""
    correct = {name: results.correct[name] for name in ranked(results)}
    folds = results.folds if results.n_folds and correct else None
    n_seeds = {name: len(results.seeds[name]) for name in correct}
    return Comparison(results, judge_pairs(correct, folds, results.margin, n_seeds))


def split_tables(
    comparisons: Sequence[Comparison],
) -> tuple[list[Comparison], list[Comparison]]:
    """Return the first table with the other recipes for its nets, and all other tables."""
    known = comparisons[0].results.names
    beside: list[Comparison] = []
    others: list[Comparison] = []
    for each in comparisons:
        results = each.results
        is_beside = results.has_recipe and any(name in known for name in results.names)
        (beside if is_beside else others).append(each)
    return beside, others


def judge_pairs(
    correct: Mapping[str, Matrix],
    folds: Folds | None,
    margin: float,
    n_seeds: Mapping[str, int] | None = None,
) -> list[Verdict]:
    """Judge all pairs of these nets, in their order.

    correct, folds, n_seeds: by net, as in fold_differences; without folds, correct is
    seeds × images.
    """
    pairs = list(combinations(correct, 2))
    if not pairs:
        return []
    if folds is None:
        nets = {name: ScoredNet.from_matrix(matrix) for name, matrix in correct.items()}
        estimates = [compare_nets(nets[a], nets[b]) for a, b in pairs]
    else:
        estimates = fold_differences(correct, folds, pairs, n_seeds)
    found: dict[tuple[str, str], Verdict] = {}
    for has_baseline in (True, False):
        family = [i for i, pair in enumerate(pairs) if (BASELINE in pair) == has_baseline]
        for verdict in verdicts(
            [pairs[i] for i in family], [estimates[i] for i in family], margin
        ):
            found[verdict.first, verdict.second] = verdict
    return [found[pair] for pair in pairs]


def _without(results: Results, part: int) -> list[Verdict]:
    """Judge all pairs without one seed, or without one fold."""
    names = ranked(results)
    if not results.n_folds:
        every = {name: results.correct[name] for name in names}
        correct = {
            name: np.delete(matrix, part, axis=0) if part < len(matrix) else matrix
            for name, matrix in every.items()
        }
        return judge_pairs(correct, None, results.margin)
    kept = results.folds != part
    # The folds are numbered from 0, without a gap.
    folds = results.folds[kept] - (results.folds[kept] > part)
    correct = {name: results.correct[name][kept] for name in names}
    return judge_pairs(correct, folds, results.margin)


def ranked(results: Results) -> list[str]:
    """Return the comparable nets, best first."""
    return [name for name in results.by_accuracy if name in results.comparable]


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
    if not results.n_folds:
        sentences += _too_few({name: len(results.seeds[name]) for name in results.names})
    return " ".join(sentences)


def _too_few(n_seeds: Mapping[str, int]) -> list[str]:
    """Say which nets have too few seeds for a verdict, or for few false alarms."""
    if max(n_seeds.values()) < 2:
        return ["One seed cannot show which differences are real."]
    if max(n_seeds.values()) < MIN_SEEDS:
        return [f"There are no verdicts, because they need {MIN_SEEDS} seeds per net."]
    sentences = [
        f"{name} has {n} seed{'s' * (n > 1)}, so there is no verdict."
        for name, n in n_seeds.items()
        if n < MIN_SEEDS
    ]
    if any(MIN_SEEDS <= n < ENOUGH_SEEDS for n in n_seeds.values()):
        alarms = "false alarms can exceed 5%."
        sentences.append(f"With fewer than {ENOUGH_SEEDS} seeds, {alarms}")
    return sentences


def _seeds(numbers: Sequence[int]) -> str:
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
