"""How often does the test of differences in folds raise a false alarm?

Simulates nets of known accuracy that are tested in six folds of 2,000 images. The regimes
differ in how much the nets scatter over folds, beyond what their images alone explain. A
false alarm of a pair is a 95% interval that does not contain the true difference. This is a
part of docs/significance.md.
"""

import gc
from functools import cache
from itertools import combinations

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import norm

from benchmark.reporting.comparison import judge_pairs
from benchmark.reporting.results import BASELINE
from benchmark.stats.uncertainty import Matrix
from benchmark.stats.verdicts import SAME

N_FOLDS, N_IMAGES = 6, 2000
FOLDS = np.repeat(np.arange(N_FOLDS), N_IMAGES)
# The share of the variance that is the images' difficulty, the same for all nets.
SHARED = 0.7
# The repetitions that one task runs, from a seed of its own.
CHUNK = 250
# Up to this difference, two nets are the same.
MARGIN = 0.01
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
    """Return what the simulation finds in each regime, for the page.

    worst, mean: false alarms of the worst pair, and of all pairs. half: half the width of
    the interval of the last two nets, which scatter least. baseline, others: the share of
    tables with a false "better" or "worse" in that family. same: how often the worst pair
    is called "the same" if the true difference is the margin. All cores share the work; the
    result does not depend on their number.
    """
    seeds = np.random.SeedSequence(seed).spawn(-(-repetitions // CHUNK))
    rows: list[dict[str, object]] = []
    with Parallel(n_jobs=-1) as pool:
        for name, nets in REGIMES.items():
            parts = pool(delayed(count)(nets, CHUNK, part) for part in seeds)
            found = {
                key: np.sum([part[key] for part in parts], axis=0) / (CHUNK * len(seeds))
                for key in parts[0]
            }
            rows.append(
                {
                    "name": name,
                    "worst": found["alarms"].max(),
                    "mean": found["alarms"].mean(),
                    "half": found["half"],
                    "baseline": found["baseline"],
                    "others": found["others"],
                    "same": found["same"].max() if are_equal(nets) else None,
                }
            )
    return rows


def are_equal(nets: list[Net]) -> bool:
    """Return whether the first net is as good as the others, before it is made worse."""
    return len({error for error, _ in nets}) == 1


def count(
    nets: list[Net], repetitions: int, seed: np.random.SeedSequence
) -> dict[str, Matrix]:
    """Return the sums over all repetitions."""
    # statsmodels collects garbage in each call.
    gc.freeze()
    generator = np.random.default_rng(seed)
    # The last net is the one that the others are compared with.
    names = [*(str(i) for i in range(len(nets) - 1)), BASELINE]
    pairs = list(combinations(range(len(nets)), 2))
    true = np.array([nets[b][0] - nets[a][0] for a, b in pairs])
    has_baseline = np.array([b == len(nets) - 1 for _, b in pairs])
    has_first = np.array([a == 0 for a, _ in pairs])
    sums = {"alarms": np.zeros(len(pairs)), "same": np.zeros(has_first.sum())}
    sums |= {key: np.zeros(()) for key in ("half", "baseline", "others")}
    for _ in range(repetitions):
        simulated, worse = simulate(nets, generator)
        judged = judge_pairs(dict(zip(names, simulated, strict=True)), FOLDS, MARGIN)
        intervals = np.array([v.estimate.interval() for v in judged])
        sums["alarms"] += (intervals[:, 0] > true) | (true > intervals[:, 1])
        sums["half"] += (intervals[-1, 1] - intervals[-1, 0]) / 2
        is_false = np.array(
            [
                v.is_difference and v.estimate.mean * t <= 0
                for v, t in zip(judged, true, strict=True)
            ]
        )
        sums["baseline"] += is_false[has_baseline].any()
        sums["others"] += is_false[~has_baseline].any()
        simulated[0] = worse
        judged = judge_pairs(dict(zip(names, simulated, strict=True)), FOLDS, MARGIN)
        sums["same"] += np.array([v.word == SAME for v in judged])[has_first]
    return sums


def simulate(
    nets: list[Net], generator: np.random.Generator
) -> tuple[list[Matrix], Matrix]:
    """Return for each net whether it is correct, 1 or 0, for each image of all folds.

    Also the same for the first net, if it were worse by the margin.
    """
    difficulty = generator.standard_normal(len(FOLDS)) * np.sqrt(SHARED)
    correct = []
    for i, (error, scatter) in enumerate(nets):
        folds = generator.standard_normal(N_FOLDS)
        noise = generator.standard_normal(len(FOLDS)) * np.sqrt(1 - SHARED)
        for rate in (error, error + MARGIN)[: 2 if i == 0 else 1]:
            threshold = norm.ppf(1 - rate)
            shift = (scatter**2 - 1) * own_variance(rate) / norm.pdf(threshold) ** 2
            # The sum has the variance 1 + shift, so the error rate is exact.
            below = difficulty + noise + (folds * np.sqrt(shift))[
                FOLDS
            ] < threshold * np.sqrt(1 + shift)
            correct.append(below.astype(float))
    first, worse, *others = correct
    return [first, *others], worse


@cache
def own_variance(error: float) -> float:
    """Return the variance of a net's accuracy in a fold, for given images."""
    quantiles = norm.ppf((np.arange(10_000) + 0.5) / 10_000) * np.sqrt(SHARED)
    chance = norm.cdf((norm.ppf(1 - error) - quantiles) / np.sqrt(1 - SHARED))
    return float((chance * (1 - chance)).mean() / N_IMAGES)
