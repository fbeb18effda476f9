"""Which depths really differ, and from how many blocks on more do not help."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from benchmark.stats.folds import fold_accuracy, fold_differences
from benchmark.stats.uncertainty import Estimate, Matrix
from benchmark.stats.verdicts import BETTER, WORSE, Verdict, verdicts
from studies.depth.folds import Depth, name_of

# A run that is no better than this many times chance has learned nothing.
GUESSING = 1.1


@dataclass(frozen=True)
class Comparison:
    """All depths, compared with each other.

    A depth with a run that learned nothing has no verdict, and is left out of the estimate
    of the others' variances. chance: the accuracy of guessing. margin: see Verdict.
    """

    depths: Sequence[Depth]
    chance: float
    margin: float

    def n_dead(self, depth: Depth) -> int:
        """Return how many runs learned nothing."""
        return int((depth.correct.mean(axis=1) < GUESSING * self.chance).sum())

    @cached_property
    def alive(self) -> list[Depth]:
        """The depths of which every run learned something, the shallowest first."""
        return [depth for depth in self.depths if not self.n_dead(depth)]

    @cached_property
    def pairs(self) -> dict[tuple[int, int], Verdict]:
        """A verdict for every two depths: whether the deeper one is better."""
        names = [(b.blocks, a.blocks) for a, b in combinations(self.alive, 2)]
        if not names:
            return {}
        images = {str(depth.blocks): depth.correct.ravel() for depth in self.alive}
        texts = [(str(a), str(b)) for a, b in names]
        estimates = fold_differences(images, folds_of(self.alive[0].correct), texts)
        judged = verdicts(texts, estimates, self.margin)
        return dict(zip(names, judged, strict=True))

    def verdict(self, blocks: int, other: int) -> Verdict:
        """Return whether a net with `blocks` blocks is better than one with `other`."""
        if blocks > other:
            return self.pairs[blocks, other]
        return self.pairs[other, blocks].reversed

    @cached_property
    def enough(self) -> Depth:
        """The shallowest net that no deeper one beats."""
        return next(
            depth
            for depth in self.alive
            if not any(
                self.verdict(other.blocks, depth.blocks).word == BETTER
                for other in self.alive
                if other.blocks > depth.blocks
            )
        )

    def answer(self) -> str:
        """Answer in one sentence: does depth help?"""
        if len(self.alive) < 2:
            return "No depths can be compared: of the others, some runs learned nothing."
        first, enough = self.alive[0].blocks, self.enough.blocks
        deeper = [depth.blocks for depth in self.alive if depth.blocks > enough]
        worse = [n for n in deeper if self.verdict(n, enough).word == WORSE]
        if enough == first:
            parts = [f"No: no deeper net is better than the one with {name_of(first)}"]
        else:
            gain = self.verdict(enough, first)
            points = f"{100 * gain.estimate.mean:+.1f}".replace("-", "−")
            parts = [
                f"Yes, up to {name_of(enough)}: compared with {name_of(first)}, that is "
                f"{points} points ({gain.shown_interval})"
            ]
            if deeper:
                parts.append("no deeper net is better than that")
        if worse:
            parts.append(f"{in_words(worse)} blocks are worse")
        parts += [
            f"with {name_of(depth.blocks)}, {n} of {len(depth.correct)} runs learn nothing"
            for depth in self.depths
            if (n := self.n_dead(depth))
        ]
        return "; ".join(parts) + "."


def accuracy_of(depth: Depth) -> Estimate:
    return fold_accuracy(depth.correct.ravel(), folds_of(depth.correct))


def folds_of(correct: Matrix) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return the fold of each image of a raveled matrix: folds × images."""
    return np.repeat(np.arange(len(correct), dtype=np.int64), correct.shape[1])


def in_words(numbers: Sequence[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} and {last}" if others else last
