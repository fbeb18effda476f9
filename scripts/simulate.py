"""How well the intervals and tests of benchmark/uncertainty.py hold what they promise.

Nets of known accuracy are scored again and again, with new seeds and new images. An image
is right where a normal variable is below a threshold; it is the sum of the image's
difficulty (partly the same for all nets), the seed's luck, and the rest. Counted are
false alarms where nets are equally good, in one comparison and in whole tables of them,
and how often the interval holds the truth. Beside it stand the method that pairs seeds
too, and tests that take seeds alone, or images alone, for the sample.
Writes docs/significance.md.
"""

import argparse
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, ttest_1samp
from scipy.stats import t as student
from tqdm import tqdm

from benchmark import errors
from benchmark.files import write_whole
from benchmark.significance import differences
from benchmark.uncertainty import LEVEL, Matrix, of_accuracy, of_difference

REPORT = Path("docs/significance.md")
# Standard deviation of the accuracy over seeds, in points; of each net of a table.
REGIMES = {"none": 0.0, "some": 0.5, "half": 1.0, "most": 4.0}
SEEDS = (2, 3, 5, 10)
ACCURACY, BETTER = 0.89, 0.90
N_EXAMPLES = 2000
# Shares of an image's variance: what all nets find hard, what one does, and the rest.
SHARED, OWN = 0.5, 0.2
N_NETS = 11


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.simulate", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000, help="a regime (2000)")
    parser.add_argument("--tables", type=int, default=500, help="a regime (500)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (0)")
    arguments = parser.parse_args()
    generator = np.random.default_rng(arguments.seed)
    regimes = [(n, regime) for n in SEEDS for regime in REGIMES]
    rows = []
    for n_seeds, regime in tqdm(regimes, unit="regime"):
        deviation = REGIMES[regime] / 100
        shares = simulate(deviation, n_seeds, arguments.repetitions, generator)
        shares |= simulate_tables(
            [deviation] * N_NETS, n_seeds, arguments.tables, generator
        )
        rows.append({"seeds": n_seeds, "regime": regime, **shares})
    text = report(pd.DataFrame(rows), arguments)
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


def report(rows: pd.DataFrame, arguments: argparse.Namespace) -> str:
    """The shares as Markdown."""
    lines = [
        "# Do the intervals hold what they promise?",
        "",
        f"Simulated: nets of a true accuracy of {ACCURACY:.0%}, {N_EXAMPLES:,} images, "
        f"{arguments.repetitions:,} repetitions a row, so a share of 5% is known to "
        f"±{margin(arguments.repetitions)}. A false alarm is p < {1 - LEVEL:.0%} where "
        "both nets are equally good; covered is how often the 95% interval holds the "
        f"truth, for one net and for the difference of a net of {BETTER:.0%} and one of "
        f"{ACCURACY:.0%}.",
        "",
        "| seeds | accuracy varies over seeds by | false alarms | covered: accuracy "
        "| covered: difference | false alarms, seeds paired too (Hillis 2007) "
        "| t over seeds alone | t over images alone |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows.to_dict("records"):
        lines.append(
            f"| {row['seeds']} | {in_words(row)} | **{row['alarm']:.1%}** "
            f"| {row['covered']:.1%} | {row['covered_difference']:.1%} "
            f"| {row['alarm_paired']:.1%} | {row['alarm_seeds']:.1%} "
            f"| {row['alarm_images']:.1%} |"
        )
    pairs = N_NETS * (N_NETS - 1) // 2
    lines += [
        "",
        "Seeds and images are both samples: whoever takes one of them for the whole is "
        "misled where the other varies.",
        "",
        "## Whole tables",
        "",
        f"{N_NETS} equally good nets, {arguments.tables:,} tables a row: how many have any "
        f"false alarm after Holm's correction, where 5% are promised (±"
        f"{margin(arguments.tables)}).",
        "",
        f"| seeds | accuracy varies over seeds by | {N_NETS - 1} nets against one "
        f"| all {pairs} pairs |",
        "|---:|---|---:|---:|",
    ]
    for row in rows.to_dict("records"):
        lines.append(
            f"| {row['seeds']} | {in_words(row)} | {row['alarm_baseline']:.1%} "
            f"| {row['alarm_pairs']:.1%} |"
        )
    lines += [
        "",
        "`benchmark/uncertainty.py` names the method and its sources; `make simulate` "
        f"makes this page anew (seed {arguments.seed}).",
        "",
    ]
    return "\n".join(lines)


def margin(repetitions: int) -> str:
    """Half the 95% interval of a share of 5%."""
    return f"{1.96 * np.sqrt((1 - LEVEL) * LEVEL / repetitions):.1%}"


def in_words(row: dict[Any, Any]) -> str:
    points = REGIMES[row["regime"]]
    return "nothing" if not points else f"{points:g} point" + "s" * (points != 1)


if __name__ == "__main__":
    errors.run(main)
