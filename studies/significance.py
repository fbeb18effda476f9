"""Do the intervals and tests have the error rates that they claim? docs/significance.md.

Simulates nets of known accuracy, again and again, with new seeds and new images. A
prediction is correct if a normal variable is below a threshold. The variable is the sum of
the image's difficulty (partly the same for all nets), an effect of the seed, and noise. The
study counts false alarms between equally good nets, in single comparisons and in whole
tables, and how often the interval contains the true value. For comparison, it counts the
false alarms of a method that also pairs seeds, and of tests that treat only seeds, or only
images, as random.
"""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import norm, ttest_1samp
from scipy.stats import t as student
from tqdm import tqdm

from benchmark.reporting.render import render
from benchmark.running import cli
from benchmark.running.files import write_atomic
from benchmark.stats.significance import differences
from benchmark.stats.uncertainty import (
    LEVEL,
    Matrix,
    accuracy_interval,
    difference_interval,
)
from studies import folds_simulation

REPORT = Path("docs/significance.md")
# The standard deviation of the accuracy over seeds, in points.
REGIMES = {"none": 0.0, "some": 0.5, "half": 1.0, "most": 4.0}
SEEDS = (2, 3, 5, 10)
ACCURACY, BETTER = 0.89, 0.90
N_IMAGES = 2000
# Shares of the variance: difficulty common to all nets, and of one net. The rest is noise.
SHARED, OWN = 0.5, 0.2
N_NETS = 11


def main(repetitions: int, tables: int, folds: int, seed: int) -> None:
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
        outcomes.append(
            {
                "alarm": difference_interval(first, second).p < 1 - LEVEL,
                "alarm_paired": p_of_paired_seeds(paired) < 1 - LEVEL,
                "alarm_seeds": ttest_1samp(paired.mean(axis=1), 0).pvalue < 1 - LEVEL,
                "alarm_images": ttest_1samp(paired.mean(axis=0), 0).pvalue < 1 - LEVEL,
                "covered": one.low <= ACCURACY <= one.high,
                "covered_difference": difference.low
                <= BETTER - ACCURACY
                <= difference.high,
            }
        )
    return {str(name): share for name, share in pd.DataFrame(outcomes).mean().items()}


def simulate_tables(
    deviations: list[float], n_seeds: int, tables: int, generator: np.random.Generator
) -> dict[str, float]:
    """Return the share of tables of equally good nets that have a false alarm."""
    names = [str(i) for i in range(len(deviations))]
    families: dict[str, Iterable[tuple[str, str]]] = {
        "alarm_baseline": [(name, names[0]) for name in names[1:]],
        "alarm_pairs": list(combinations(names, 2)),
    }
    alarms = dict.fromkeys(families, 0)
    for _ in range(tables):
        nets = score([ACCURACY] * len(names), deviations, n_seeds, generator)
        correct = dict(zip(names, nets, strict=True))
        for family, pairs in families.items():
            alarms[family] += any(d.is_significant for d in differences(correct, pairs))
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
        cli.argument("--repetitions", type=int, default=2000, help="runs per row (2000)"),
        cli.argument("--tables", type=int, default=500, help="tables per row (500)"),
        cli.argument("--folds", type=int, default=10_000, help="runs with folds (10,000)"),
        cli.argument("--seed", type=int, default=0, help="seed of the random numbers (0)"),
    )
