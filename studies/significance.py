"""How well the intervals and tests of benchmark/stats/ hold what they promise.

Nets of known accuracy are scored again and again, with new seeds and new images. An image
is right where a normal variable is below a threshold; it is the sum of the image's
difficulty (partly the same for all nets), the seed's luck, and the rest. Counted are
false alarms where nets are equally good, in one comparison and in whole tables of them,
and how often the interval holds the truth. Beside it stand the method that pairs seeds
too, and tests that take seeds alone, or images alone, for the sample.
Writes docs/significance.md.
"""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm, ttest_1samp
from scipy.stats import t as student
from tqdm import tqdm

from benchmark.reporting.render import render
from benchmark.running import cli
from benchmark.running.files import write_whole
from benchmark.stats.significance import differences
from benchmark.stats.uncertainty import LEVEL, Matrix, of_accuracy, of_difference

REPORT = Path("docs/significance.md")
# Standard deviation of the accuracy over seeds, in points; of each net of a table.
REGIMES = {"none": 0.0, "some": 0.5, "half": 1.0, "most": 4.0}
SEEDS = (2, 3, 5, 10)
ACCURACY, BETTER = 0.89, 0.90
N_EXAMPLES = 2000
# Shares of an image's variance: what all nets find hard, what one does, and the rest.
SHARED, OWN = 0.5, 0.2
N_NETS = 11


def main(repetitions: int, tables: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    regimes = [(n, points) for n in SEEDS for points in REGIMES.values()]
    rows = []
    for n_seeds, points in tqdm(regimes, unit="regime"):
        deviation = points / 100
        shares = simulate(deviation, n_seeds, repetitions, generator)
        shares |= simulate_tables([deviation] * N_NETS, n_seeds, tables, generator)
        varies = f"{points:g} point" + "s" * (points != 1) if points else "nothing"
        rows.append({"seeds": n_seeds, "varies": varies, **shares})
    text = report(rows, repetitions, tables, seed)
    print(text)
    write_whole(REPORT, text.encode())


def simulate(
    deviation: float, n_seeds: int, repetitions: int, generator: np.random.Generator
) -> dict[str, float]:
    """Shares of the repetitions: false alarms of four tests, and what was covered."""
    found = []
    for _ in range(repetitions):
        first, second = score([ACCURACY] * 2, [deviation] * 2, n_seeds, generator)
        one, paired = of_accuracy(first), first - second
        better, other = score([BETTER, ACCURACY], [deviation] * 2, n_seeds, generator)
        difference = of_difference(better, other)
        found.append(
            {
                "alarm": of_difference(first, second).p < 1 - LEVEL,
                "alarm_paired": p_of_paired_seeds(paired) < 1 - LEVEL,
                "alarm_seeds": ttest_1samp(paired.mean(axis=1), 0).pvalue < 1 - LEVEL,
                "alarm_images": ttest_1samp(paired.mean(axis=0), 0).pvalue < 1 - LEVEL,
                "covered": one.low <= ACCURACY <= one.high,
                "covered_difference": difference.low
                <= BETTER - ACCURACY
                <= difference.high,
            }
        )
    return {str(what): share for what, share in pd.DataFrame(found).mean().items()}


def simulate_tables(
    deviations: list[float], n_seeds: int, tables: int, generator: np.random.Generator
) -> dict[str, float]:
    """Shares of tables of equally good nets with any false alarm, after Holm."""
    names = [str(i) for i in range(len(deviations))]
    families: dict[str, Iterable[tuple[str, str]]] = {
        "alarm_baseline": [(name, names[0]) for name in names[1:]],
        "alarm_pairs": list(combinations(names, 2)),
    }
    alarms = dict.fromkeys(families, 0)
    for _ in range(tables):
        nets = score([ACCURACY] * len(names), deviations, n_seeds, generator)
        right = dict(zip(names, nets, strict=True))
        for family, pairs in families.items():
            alarms[family] += any(d.is_significant for d in differences(right, pairs))
    return {family: count / tables for family, count in alarms.items()}


def score(
    accuracies: list[float],
    deviations: list[float],
    n_seeds: int,
    generator: np.random.Generator,
) -> list[Matrix]:
    """Each net's right answers: seeds × images, 1 or 0, on the same images."""
    shared = generator.standard_normal(N_EXAMPLES) * np.sqrt(SHARED)
    found = []
    for accuracy, deviation in zip(accuracies, deviations, strict=True):
        # A small step of the threshold moves the accuracy by the density there.
        luck = deviation / norm.pdf(norm.ppf(accuracy))
        own = generator.standard_normal(N_EXAMPLES) * np.sqrt(OWN)
        seeds = generator.standard_normal((n_seeds, 1)) * luck
        rest = generator.standard_normal((n_seeds, N_EXAMPLES)) * np.sqrt(1 - SHARED - OWN)
        # With all four parts its deviation is √(1 + luck²), so the accuracy is exact.
        threshold = norm.ppf(accuracy) * np.sqrt(1 + luck**2)
        found.append((shared + own + seeds + rest < threshold).astype(float))
    return found


def p_of_paired_seeds(paired: Matrix) -> float:
    """By Hillis' formula (2007), with seeds paired as images are."""
    n_seeds, n_images = paired.shape
    mean = paired.mean()
    of_seeds = paired.mean(axis=1, keepdims=True) - mean
    of_images = paired.mean(axis=0) - mean
    ms_seed = n_images * np.square(of_seeds).sum() / (n_seeds - 1)
    ms_image = n_seeds * np.square(of_images).sum() / (n_images - 1)
    residual = paired - mean - of_seeds - of_images
    ms_residual = np.square(residual).sum() / ((n_seeds - 1) * (n_images - 1))
    spread = ms_seed + max(ms_image - ms_residual, 0.0)
    df = spread**2 / (ms_seed**2 / (n_seeds - 1)) if ms_seed else np.inf
    return float(2 * student.sf(abs(mean) / np.sqrt(spread / paired.size), df))


def report(rows: list[dict[str, object]], repetitions: int, tables: int, seed: int) -> str:
    """The shares as Markdown."""
    return render(
        Path(__file__).with_suffix(".md.jinja"),
        rows=rows,
        repetitions=repetitions,
        tables=tables,
        seed=seed,
        margin=margin,
        accuracy=ACCURACY,
        better=BETTER,
        n_examples=N_EXAMPLES,
        n_nets=N_NETS,
        level=LEVEL,
    )


def margin(repetitions: int) -> str:
    """Half the 95% interval of a share of 5%."""
    return f"{1.96 * np.sqrt((1 - LEVEL) * LEVEL / repetitions):.1%}"


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument("--repetitions", type=int, default=2000, help="a regime (2000)"),
        cli.argument("--tables", type=int, default=500, help="a regime (500)"),
        cli.argument("--seed", type=int, default=0, help="of the simulation (0)"),
    )
