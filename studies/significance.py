"""Do the intervals and tests have the error rates that they claim? docs/significance.md.

Simulates nets of known accuracy, again and again, with new seeds and new images. A
prediction is correct if a normal variable is below a threshold. The variable is the sum of
the image's difficulty (partly the same for all nets), an effect of the seed, and noise. The
study counts false alarms between equally good nets, in single comparisons and in whole
tables, how often the interval contains the true value, and how often nets are called "the
same" although their difference is the margin. For comparison, it counts the false alarms of
a method that also pairs seeds, and of tests that treat only seeds, or only images, as
random.
"""

import gc
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import norm, ttest_1samp
from scipy.stats import t as student
from tqdm import tqdm

from benchmark.reporting.comparison import judge_pairs
from benchmark.reporting.render import render
from benchmark.reporting.results import BASELINE
from benchmark.running import cli
from benchmark.running.files import write_atomic
from benchmark.stats.uncertainty import (
    LEVEL,
    Matrix,
    accuracy_interval,
    difference_interval,
)
from benchmark.stats.verdicts import SAME, verdicts
from studies import folds_simulation
from studies.folds_simulation import MARGIN

REPORT = Path("docs/significance.md")
# The standard deviation of the accuracy over seeds, in points.
REGIMES = {"none": 0.0, "some": 0.5, "half": 1.0, "most": 4.0}
SEEDS = (2, 3, 5, 6, 10)
# The better net is better by the margin.
ACCURACY = 0.89
BETTER = ACCURACY + MARGIN
N_IMAGES = 2000
# Shares of the variance: difficulty common to all nets, and of one net. The rest is noise.
SHARED, OWN = 0.5, 0.2
N_NETS = 11


def main(repetitions: int, tables: int, folds: int, seed: int) -> None:
    # Rounded up to whole chunks.
    folds = -(-folds // folds_simulation.CHUNK) * folds_simulation.CHUNK
    in_folds = folds_simulation.rates(folds, seed)
    regimes = [(n, points) for n in SEEDS for points in REGIMES.values()]
    # All cores share the work; the result does not depend on their number.
    parts = np.random.SeedSequence(seed).spawn(len(regimes))
    tasks = Parallel(n_jobs=-1, return_as="generator")(
        delayed(measure)(*regime, repetitions, tables, part)
        for regime, part in zip(regimes, parts, strict=True)
    )
    rows = list(tqdm(tasks, total=len(regimes), unit="regime"))
    text = report(rows, in_folds, repetitions, tables, folds, seed)
    print(text)
    write_atomic(REPORT, text.encode())


def measure(
    n_seeds: int, points: float, repetitions: int, tables: int, seed: np.random.SeedSequence
) -> dict[str, object]:
    """Return the row of the page for one regime. points: the seeds' standard deviation."""
    # statsmodels collects garbage in each call.
    gc.freeze()
    generator = np.random.default_rng(seed)
    deviation = points / 100
    return {
        "seeds": n_seeds,
        "varies": f"{points:g} point" + "s" * (points != 1),
        **simulate(deviation, n_seeds, repetitions, generator),
        **simulate_tables([deviation] * N_NETS, n_seeds, tables, generator),
    }


def simulate(
    deviation: float, n_seeds: int, repetitions: int, generator: np.random.Generator
) -> dict[str, float]:
    """Return the rates of false alarms of four tests, and of coverage."""
    outcomes = []
    for _ in range(repetitions):
        first, second = score([ACCURACY] * 2, [deviation] * 2, n_seeds, generator)
        one, paired = accuracy_interval(first), first - second
        better, other = score([BETTER, ACCURACY], [deviation] * 2, n_seeds, generator)
        difference = difference_interval(better, other)
        low, high = difference.interval()
        [verdict] = verdicts([("better", "other")], [difference], MARGIN)
        outcomes.append(
            {
                "alarm": difference_interval(first, second).p < 1 - LEVEL,
                "alarm_paired": p_of_paired_seeds(paired) < 1 - LEVEL,
                "alarm_seeds": ttest_1samp(paired.mean(axis=1), 0).pvalue < 1 - LEVEL,
                "alarm_images": ttest_1samp(paired.mean(axis=0), 0).pvalue < 1 - LEVEL,
                "covered": one.interval().low <= ACCURACY <= one.interval().high,
                "covered_difference": low <= BETTER - ACCURACY <= high,
                "same": verdict.word == SAME,
            }
        )
    return {str(name): share for name, share in pd.DataFrame(outcomes).mean().items()}


def simulate_tables(
    deviations: list[float], n_seeds: int, tables: int, generator: np.random.Generator
) -> dict[str, float]:
    """Return the share of tables of equally good nets that have a false alarm."""
    names = [BASELINE, *(str(i) for i in range(1, len(deviations)))]
    alarms = {"alarm_baseline": 0, "alarm_others": 0}
    for _ in range(tables):
        nets = score([ACCURACY] * len(names), deviations, n_seeds, generator)
        judged = judge_pairs(dict(zip(names, nets, strict=True)), None, MARGIN)
        clear = [v for v in judged if v.is_difference]
        alarms["alarm_baseline"] += any(v.first == BASELINE for v in clear)
        alarms["alarm_others"] += any(v.first != BASELINE for v in clear)
    return {family: count / tables for family, count in alarms.items()}


def score(
    accuracies: list[float],
    deviations: list[float],
    n_seeds: int,
    generator: np.random.Generator,
) -> list[Matrix]:
    """Simulate nets on the same images. Each: seeds × images, 1 if correct, else 0."""
    shared = generator.standard_normal(N_IMAGES) * np.sqrt(SHARED)
    nets = []
    for accuracy, deviation in zip(accuracies, deviations, strict=True):
        # The density at the threshold converts its shift into a change of accuracy.
        luck = deviation / norm.pdf(norm.ppf(accuracy))
        own = generator.standard_normal(N_IMAGES) * np.sqrt(OWN)
        seeds = generator.standard_normal((n_seeds, 1)) * luck
        noise = generator.standard_normal((n_seeds, N_IMAGES)) * np.sqrt(1 - SHARED - OWN)
        # The sum has the standard deviation √(1 + luck²), so the accuracy is exact.
        threshold = norm.ppf(accuracy) * np.sqrt(1 + luck**2)
        nets.append((shared + own + seeds + noise < threshold).astype(float))
    return nets


def p_of_paired_seeds(paired: Matrix) -> float:
    """Return the p-value of Hillis' formula (2007), which pairs seeds as well as images."""
    n_seeds, n_images = paired.shape
    mean = paired.mean()
    seed_effects = paired.mean(axis=1, keepdims=True) - mean
    image_effects = paired.mean(axis=0) - mean
    ms_seed = n_images * np.square(seed_effects).sum() / (n_seeds - 1)
    ms_image = n_seeds * np.square(image_effects).sum() / (n_images - 1)
    residual = paired - mean - seed_effects - image_effects
    ms_residual = np.square(residual).sum() / ((n_seeds - 1) * (n_images - 1))
    spread = ms_seed + max(ms_image - ms_residual, 0.0)
    df = spread**2 / (ms_seed**2 / (n_seeds - 1)) if ms_seed else np.inf
    return float(2 * student.sf(abs(mean) / np.sqrt(spread / paired.size), df))


def report(
    rows: list[dict[str, object]],
    in_folds: list[dict[str, object]],
    repetitions: int,
    tables: int,
    folds: int,
    seed: int,
) -> str:
    """Render the rates as Markdown."""
    return render(
        Path(__file__).with_suffix(".md.jinja"),
        rows=rows,
        in_folds=in_folds,
        repetitions=repetitions,
        tables=tables,
        folds=folds,
        seed=seed,
        margin=margin,
        margin_used=MARGIN,
        accuracy=ACCURACY,
        better=BETTER,
        n_images=N_IMAGES,
        n_nets=N_NETS,
        level=LEVEL,
    )


def margin(repetitions: int) -> str:
    """Return half the width of the 95% interval of a rate of 5%."""
    return f"{1.96 * np.sqrt((1 - LEVEL) * LEVEL / repetitions):.1%}"


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument("--repetitions", type=int, default=5000, help="runs per row (5,000)"),
        cli.argument("--tables", type=int, default=2000, help="tables per row (2,000)"),
        cli.argument("--folds", type=int, default=10_000, help="runs with folds (10,000)"),
        cli.argument("--seed", type=int, default=0, help="seed of the random numbers (0)"),
    )
