"""How often does the test of differences in folds raise a false alarm?

Simulates nets of known accuracy that are tested in six folds of 2,000 images. The regimes
differ in how much the nets scatter over folds, beyond what their images alone explain. A
false alarm is an interval that does not contain the true difference. This is a part of
docs/significance.md.
"""

from functools import cache
from itertools import combinations

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import norm

from benchmark.stats.folds import fold_differences
from benchmark.stats.uncertainty import Matrix

N_FOLDS, N_IMAGES = 6, 2000
FOLDS = np.repeat(np.arange(N_FOLDS), N_IMAGES)
# The share of the variance that is the images' difficulty, the same for all nets.
SHARED = 0.7
# The repetitions that one task runs, from a seed of its own.
CHUNK = 250
# A net: its error rate, and its scatter in multiples of what its images alone explain.
Net = tuple[float, float]
REGIMES: dict[str, list[Net]] = {
    "11 nets alike": [(0.1, 1)] * 11,
    "all scatter 1.3 times as much": [(0.1, 1.3)] * 11,
    "one of 11 scatters twice as much": [(0.1, 2), *[(0.1, 1)] * 10],
    "one of 11 scatters 4 times as much": [(0.1, 4), *[(0.1, 1)] * 10],
    "two of 11 scatter twice as much": [*[(0.1, 2)] * 2, *[(0.1, 1)] * 9],
    "11 error rates from 3% to 20%, the worst scatters twice as much": [
        (0.2, 2),
        *[(error, 1) for error in np.linspace(0.03, 0.183, 10)],
    ],
    "3 nets, one scatters twice as much": [(0.1, 2), (0.1, 1), (0.1, 1)],
}


def rates(repetitions: int, seed: int) -> list[dict[str, object]]:
    """Return for each regime the false alarms of its worst pair and of all pairs.

    Also the half width of the interval of the last two nets, which scatter least. All
    cores share the work; the result does not depend on their number.
    """
    seeds = np.random.SeedSequence(seed).spawn(-(-repetitions // CHUNK))
    rows: list[dict[str, object]] = []
    with Parallel(n_jobs=-1) as pool:
        for name, nets in REGIMES.items():
            parts = pool(delayed(count)(nets, CHUNK, part) for part in seeds)
            alarms, half = np.sum(parts, axis=0) / (CHUNK * len(seeds))
            shares = {"worst": alarms.max(), "mean": alarms.mean(), "half": half[-1]}
            rows.append({"name": name, **shares})
    return rows


def count(nets: list[Net], repetitions: int, seed: np.random.SeedSequence) -> Matrix:
    """Return for each pair the number of false alarms, and the sum of the half widths."""
    generator = np.random.default_rng(seed)
    pairs = list(combinations(range(len(nets)), 2))
    names = [(str(a), str(b)) for a, b in pairs]
    true = [nets[b][0] - nets[a][0] for a, b in pairs]
    counts = np.zeros((2, len(pairs)))
    for _ in range(repetitions):
        found = fold_differences(simulate(nets, generator), FOLDS, names)
        counts[0] += [not d.low <= t <= d.high for d, t in zip(found, true, strict=True)]
        counts[1] += [(d.high - d.low) / 2 for d in found]
    return counts


def simulate(nets: list[Net], generator: np.random.Generator) -> dict[str, Matrix]:
    """Return for each net whether it is correct, 1 or 0, for each image of all folds."""
    difficulty = generator.standard_normal(len(FOLDS)) * np.sqrt(SHARED)
    correct = {}
    for i, (error, scatter) in enumerate(nets):
        threshold = norm.ppf(1 - error)
        shift = (scatter**2 - 1) * own_variance(error) / norm.pdf(threshold) ** 2
        folds = generator.standard_normal(N_FOLDS) * np.sqrt(shift)
        noise = generator.standard_normal(len(FOLDS)) * np.sqrt(1 - SHARED)
        # The sum has the variance 1 + shift, so the error rate is exact.
        below = difficulty + noise + folds[FOLDS] < threshold * np.sqrt(1 + shift)
        correct[str(i)] = below.astype(float)
    return correct


@cache
def own_variance(error: float) -> float:
    """Return the variance of a net's accuracy in a fold, for given images."""
    quantiles = norm.ppf((np.arange(10_000) + 0.5) / 10_000) * np.sqrt(SHARED)
    chance = norm.cdf((norm.ppf(1 - error) - quantiles) / np.sqrt(1 - SHARED))
    return float((chance * (1 - chance)).mean() / N_IMAGES)
