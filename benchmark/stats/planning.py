"""What could be seen: the power of a comparison, and the seeds that it needs.

Power is the chance to find a difference, from the noncentral t distribution. The variances
that it rests on come from a few seeds, so all of these numbers are rough.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, norm
from scipy.stats import t as student

from benchmark.stats.uncertainty import Variance
from benchmark.stats.verdicts import ALPHA, MIN_SEEDS, UNKNOWN, Verdict

# The usual goal.
POWER = 0.8
# No plan needs more.
MAX_SEEDS = 10**6
MANY_SEEDS = 1000


def smallest_difference(variance: Variance, alpha: float) -> float:
    """Return the difference that a test at `alpha` finds in 80% of cases."""
    error = variance.total**0.5
    most = 10.0
    while chance_to_differ(most * error, variance, alpha) < POWER:
        most *= 2
    shift = brentq(lambda s: chance_to_differ(s * error, variance, alpha) - POWER, 0, most)
    return float(shift * error)


def could_be_found(verdict: Verdict) -> float:
    """Return the smallest difference that a comparison like this one finds."""
    return smallest_difference(verdict.estimate.variance, verdict.alpha)


def chance_to_differ(difference: float, variance: Variance, alpha: float) -> float:
    """Return the chance that a test at `alpha` finds this true difference."""
    df, shift = variance.df, abs(difference) / variance.total**0.5
    if np.isinf(df):
        return float(norm.sf(norm.ppf(1 - alpha / 2) - shift))
    critical = student.ppf(1 - alpha / 2, df)
    chance = nct.sf(critical, df, shift)
    # Where the noncentral t cannot be computed, a shifted t is close enough.
    return float(chance if np.isfinite(chance) else student.sf(critical - shift, df))


def chance_to_be_same(difference: float, variance: Variance, margin: float) -> float:
    """Return the chance of the word "the same", for this true difference.

    Approximated by shifting Student's t.
    """
    error, df = variance.total**0.5, variance.df
    room = margin - student.ppf(1 - ALPHA, df) * error
    if room <= 0:
        return 0.0
    low, high = (-room - difference) / error, (room - difference) / error
    return float(student.cdf(high, df) - student.cdf(low, df))


def seeds_to_decide(verdict: Verdict) -> int | None:
    """Return how many seeds per net would decide a pair that is now undecided.

    They give a word other than "cannot tell" in 80% of cases, if the true difference is the
    measured one. A net that has more keeps its own. None if no number of seeds would do,
    because of the images.
    """
    difference, variance = verdict.estimate.mean, verdict.estimate.variance

    def chance(n: int) -> float:
        more = variance.with_seeds(*(max(n, present) for present in variance.n_seeds))
        return max(
            chance_to_differ(difference, more, verdict.alpha),
            chance_to_be_same(difference, more, verdict.margin),
        )

    step = variance.n_folds or 1
    return _fewest(chance, min(variance.n_seeds) + step, step)


def seeds_to_find(difference: float, variance: Variance, alpha: float) -> int | None:
    """Return how many seeds per net find this difference in 80% of cases, or None."""

    def chance(n: int) -> float:
        planned = variance.with_seeds(*(n for _ in variance.n_seeds))
        return chance_to_differ(difference, planned, alpha)

    return _fewest(chance, variance.n_folds or MIN_SEEDS, variance.n_folds or 1)


def _fewest(chance: Callable[[int], float], start: int, step: int) -> int | None:
    """Return the smallest number of seeds, in these steps, with a chance of 80%."""
    low, high = -(-start // step), MAX_SEEDS // step
    if chance(high * step) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        if chance(middle * step) >= POWER:
            high = middle
        else:
            low = middle + 1
    return low * step


def needed(verdict: Verdict) -> str:
    """Say how many seeds, or what else, would decide a pair; "" if it is decided."""
    if verdict.word != UNKNOWN:
        return ""
    return format_seeds(seeds_to_decide(verdict), bool(verdict.estimate.variance.n_folds))


def in_full(verdict: Verdict) -> str:
    """Return the verdict as text, with what would decide it."""
    needs = needed(verdict)
    seeds = "" if needs.endswith("images") else " seeds"
    return f"{verdict}; needs {needs}{seeds}" if needs else str(verdict)


def format_seeds(n_seeds: int | None, is_least: bool) -> str:
    """Format a number of seeds, such as 14, or say what would be needed instead.

    is_least: with folds, it is unknown what part of the variance the images cause.
    """
    if n_seeds is None:
        return "more images"
    if n_seeds > MANY_SEEDS:
        return f"over {MANY_SEEDS:,}"
    return f"{n_seeds} or more" if is_least else str(n_seeds)
