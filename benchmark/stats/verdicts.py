"""Say which of two nets is better: one word for each pair, and an interval that agrees.

The words, in the order in which they are decided:

- better or worse: the difference is significant after Holm's correction for all comparisons
  of the family (Holm 1979).
- the same: the 90% interval of the difference is within a margin, which params.yaml sets.
  That is two one-sided tests of 5% each (Schuirmann 1987), for this pair alone.
- cannot tell: neither.

The interval of a pair is the one on which its word rests. For better, worse and cannot
tell, that is the interval at the level at which Holm's method tests the pair. It excludes 0
if and only if the word is better or worse. For the same, it is the 90% interval, extended
to contain 0: the 95% interval that belongs to two one-sided tests (Hsu, Hwang, Liu and
Ruberg, Biometrika 81, 1994). Each of them alone is a 95% interval or wider; since the word
chooses between them, the shown one contains the true difference in at least 92.5% of cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from benchmark.stats.uncertainty import LEVEL, Estimate, Interval

ALPHA = 1 - LEVEL
WORDS = BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "the same", "cannot tell"
# With fewer seeds, there are only numbers.
MIN_SEEDS = 3
# A number in a text has at most this many digits after the point.
MAX_DIGITS = 4


@dataclass(frozen=True)
class Verdict:
    """Whether `first` is better than `second`.

    estimate: how much more accurate `first` is. p: corrected by Holm's method. alpha: the
    level at which Holm's method tests this pair. margin: up to this difference, two nets
    are the same. Accuracies, differences and the margin are from 0 to 1.
    """

    first: str
    second: str
    estimate: Estimate
    p: float
    alpha: float
    margin: float

    @cached_property
    def word(self) -> str:
        if self.p < ALPHA:
            return BETTER if self.estimate.mean > 0 else WORSE
        low, high = self.estimate.interval(1 - 2 * ALPHA)
        return SAME if -self.margin < low and high < self.margin else UNKNOWN

    @cached_property
    def interval(self) -> Interval:
        """The interval that belongs to the word."""
        if self.word != SAME:
            return self.estimate.interval(1 - self.alpha)
        low, high = self.estimate.interval(1 - 2 * ALPHA)
        return Interval(min(low, 0.0), max(high, 0.0))

    @property
    def is_difference(self) -> bool:
        return self.word in (BETTER, WORSE)

    @property
    def shown_interval(self) -> str:
        """The interval in points, with enough digits to agree with the word.

        If the word is "worse", it says how much worse.
        """
        low, high = self.reversed.interval if self.word == WORSE else self.interval
        bound = 0.0 if self.is_difference else self.margin
        return f"{format_limit(low, bound)} to {format_limit(high, bound)}"

    @property
    def reversed(self) -> "Verdict":
        """The same verdict, seen from the second net."""
        estimate = replace(self.estimate, mean=-self.estimate.mean)
        return replace(self, first=self.second, second=self.first, estimate=estimate)

    def __str__(self) -> str:
        by = f" by {format_points(abs(self.estimate.mean))} points"
        return f"{self.word}{by * self.is_difference} ({self.shown_interval})"


def verdicts(
    pairs: Sequence[tuple[str, str]], estimates: Sequence[Estimate], margin: float
) -> list[Verdict]:
    """Judge these pairs, which are one family of tests.

    estimates: how much more accurate the first net of each pair is than the second.
    """
    from statsmodels.stats.multitest import multipletests  # the import takes a second

    if not estimates:
        return []
    p = np.array([estimate.p for estimate in estimates])
    is_rejected, adjusted, *_ = multipletests(p, alpha=ALPHA, method="holm")
    # Holm's method tests the smallest p at α/m, the next at α/(m-1), and so on. From the
    # first that is not significant on, the level stays the same.
    rank = np.minimum(p.argsort(kind="stable").argsort(), is_rejected.sum())
    alphas = ALPHA / (len(p) - np.minimum(rank, len(p) - 1))
    return [
        Verdict(*pair, estimate, float(adjusted[i]), float(alphas[i]), margin)
        for i, (pair, estimate) in enumerate(zip(pairs, estimates, strict=True))
    ]


def format_points(share: float, digits: int = 1) -> str:
    """Format a difference of accuracies in points: .012 as 1.2, -.003 as −0.3.

    Halves are rounded up, whatever the last bit of the number is.
    """
    text = f"{abs(share) * 100 + 1e-9:.{digits}f}"
    return f"−{text}" if share < 0 and float(text) else text


def format_limit(limit: float, bound: float) -> str:
    """Format a limit of an interval in points, so that its size stays on its side of bound.

    bound: 0 or positive.
    """
    for digits in range(1, MAX_DIGITS):
        text = format_points(limit, digits)
        shown = float(text.replace("−", ""))
        if shown > 100 * bound if abs(limit) > bound else shown < 100 * bound:
            return text
    return format_points(limit, MAX_DIGITS)


def format_percent(share: float) -> str:
    """Format a share, such as an accuracy: .8948 as 89.5%. Halves are rounded up."""
    return f"{100 * share + 1e-9:.1f}%"
