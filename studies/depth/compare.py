"""Which depths really differ, and how many blocks are enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from benchmark.reporting.summary import listed
from benchmark.stats.folds import fold_accuracy, fold_differences
from benchmark.stats.uncertainty import Estimate
from benchmark.stats.verdicts import (
    BETTER,
    SAME,
    UNKNOWN,
    WORSE,
    Verdict,
    format_points,
    verdicts,
)
from studies.depth.folds import Depth, name_of
from studies.same_net import folds_of
from studies.tuning import GUESSING

# What the answer says about deeper nets, by their verdict.
SAID = {
    SAME: "{} blocks are the same as {}",
    WORSE: "{} blocks are worse than {}",
    UNKNOWN: "for {}, we cannot tell",
}


@dataclass(frozen=True)
class Comparison:
    """All depths, compared with each other.

    A depth with a run that learned nothing (see GUESSING) has no verdict, and is left out
    of the estimate of the others' variances. chance: the accuracy of guessing. margin: see
    Verdict.
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

    def better_than(self, blocks: int) -> list[int]:
        """Return the deeper nets that are better than this one, the shallowest first."""
        return [
            depth.blocks
            for depth in self.alive
            if depth.blocks > blocks and self.verdict(depth.blocks, blocks).word == BETTER
        ]

    @cached_property
    def enough(self) -> int | None:
        """The shallowest depth that helps, and that no deeper one beats.

        If a deeper one beats each that helps, the deepest that helps. If none helps, the
        shallowest of all. None if none can be compared.
        """
        if not self.alive:
            return None
        first = self.alive[0].blocks
        helping = self.better_than(first)
        unbeaten = [n for n in helping if not self.better_than(n)]
        return (unbeaten or helping[-1:] or [first])[0]

    def answer(self) -> str:
        """Answer in one sentence: does depth help?"""
        dead = [
            f"with {name_of(depth.blocks)}, {n} of {len(depth.correct)} runs "
            f"{'learns' if n == 1 else 'learn'} nothing"
            for depth in self.depths
            if (n := self.n_dead(depth))
        ]
        if len(self.alive) < 2 or self.enough is None:
            return f"These runs cannot say: {'; '.join(dead)}."
        first, enough = self.alive[0].blocks, self.enough
        deeper = [depth.blocks for depth in self.alive if depth.blocks > enough]
        words = {n: self.verdict(n, enough).word for n in deeper}
        if enough > first:
            gain = self.verdict(enough, first)
            points = format_points(gain.estimate.mean)
            parts = [
                f"Yes, up to {name_of(enough)}: that is {points} points better than "
                f"{name_of(first)} ({gain.shown_interval})"
            ]
            if deeper and BETTER not in words.values():
                parts.append("no deeper net is clearly better than that")
            kinds = [WORSE]
        else:
            parts, kinds = [], [SAME, WORSE, UNKNOWN]
        for kind in kinds:
            if those := [str(n) for n, word in words.items() if word == kind]:
                parts.append(SAID[kind].format(listed(those), name_of(enough)))
        if enough == first:
            start = "We saw no clear gain" if UNKNOWN in words.values() else "No"
            parts[0] = f"{start}: {parts[0]}"
        return "; ".join(parts + dead) + "."


def accuracy_of(depth: Depth) -> Estimate:
    return fold_accuracy(depth.correct.ravel(), folds_of(depth.correct))
