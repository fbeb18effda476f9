"""The seeds that a comparison needs: against simulations, and against each other."""

import numpy as np
import pytest
from scipy.stats import t as student
from statsmodels.stats.power import NormalIndPower

from benchmark import params
from benchmark.reporting.costs import training_seconds
from benchmark.stats.planning import (
    chance_to_be_same,
    chance_to_differ,
    format_seeds,
    seeds_to_decide,
    seeds_to_find,
    smallest_difference,
)
from benchmark.stats.uncertainty import Estimate, Variance, difference_interval
from benchmark.stats.verdicts import verdicts
from scripts import plan
from studies import significance as simulate
from tests.conftest import ROOT, run

# Five seeds per net: the seeds add twice as much as the images.
VARIANCE = Variance(1e-5, (1e-5, 1e-5), (0.0, 0.0), (5, 5), n_images=2000)
KNOWN = Variance(0.0, (1e-5, 1e-5), (0.0, 0.0), (10**9, 10**9), n_images=2000)


def test_the_smallest_difference_has_a_power_of_80_percent():
    for alpha in (0.05, 0.001):
        difference = smallest_difference(VARIANCE, alpha)
        assert chance_to_differ(difference, VARIANCE, alpha) == pytest.approx(0.8)
        assert chance_to_differ(difference / 2, VARIANCE, alpha) < 0.5


def test_with_known_variances_it_is_the_power_of_the_z_test():
    size = 0.01 / np.sqrt(2e-5) * np.sqrt(2)
    expected = NormalIndPower().power(size, nobs1=1, alpha=0.05, alternative="two-sided")
    assert chance_to_differ(0.01, KNOWN, 0.05) == pytest.approx(expected, abs=1e-3)


def test_the_power_is_that_of_a_simulation():
    generator, found, expected = np.random.default_rng(0), [], []
    for _ in range(400):
        a, b = simulate.score([0.90, 0.875], [0.01] * 2, 5, generator)
        estimate = difference_interval(a, b)
        found.append(estimate.p < 0.05)
        expected.append(chance_to_differ(0.025, estimate.variance, 0.05))
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=0.08)
    assert 0.4 < np.mean(found) < 0.95


def test_more_seeds_for_smaller_differences_until_none_will_do():
    needed = [seeds_to_find(d, VARIANCE, 0.05) for d in (0.05, 0.02, 0.012, 0.01, 0.005)]
    assert None not in needed[:-1] and needed[-1] is None
    assert needed[:-1] == sorted(needed[:-1]) and needed[0] == 3
    n = needed[2]
    chances = [chance_to_differ(0.012, VARIANCE.with_seeds(k, k), 0.05) for k in (n - 1, n)]
    assert chances[0] < 0.8 <= chances[1]


def test_with_folds_the_seeds_are_a_multiple_of_the_folds():
    folds = Variance(0.0, (1e-5, 1e-5), (0.0, 0.0), (12, 12), n_images=12_000, n_folds=6)
    assert seeds_to_find(0.05, folds, 0.05) == 6
    assert seeds_to_find(0.005, folds, 0.05) % 6 == 0
    # The variance is over folds, however many seeds there are.
    assert folds.with_seeds(24, 24).df == folds.df == pytest.approx(10)
    [verdict] = verdicts([("a", "b")], [Estimate(0.009, folds)], 0.01)
    assert seeds_to_decide(verdict) == 30  # a multiple of the folds, not of 12


def test_nets_may_have_different_numbers_of_seeds():
    """More seeds of the net that has few decide; the other keeps its own."""
    noisy = Variance(0.0, (9e-5, 1e-6), (0.0, 0.0), (3, 12), n_images=2000)
    [verdict] = verdicts([("a", "b")], [Estimate(0.02, noisy)], 0.01)
    n = seeds_to_decide(verdict)
    assert 3 < n < 12
    assert chance_to_differ(0.02, noisy.with_seeds(n, 12), verdict.alpha) >= 0.8
    for difference in (0.005, 0.02, 0.05):
        assert seeds_to_find(difference, noisy, 0.05) >= 3


def test_the_power_at_a_strict_level_is_that_of_a_simulation():
    """As in a family of many pairs, with few degrees of freedom."""
    generator, alpha = np.random.default_rng(0), 0.05 / 45
    n = 20_000
    known = Variance(0.0, (1.0,), (0.0,), (5,), n_images=2000)
    difference = smallest_difference(known, alpha)
    t = (difference + generator.normal(size=n)) / np.sqrt(generator.chisquare(4, n) / 4)
    found = np.mean(np.abs(t) > student.ppf(1 - alpha / 2, 4))
    assert found == pytest.approx(0.8, abs=0.015)


@pytest.mark.parametrize("mean", [0.004, 0.006, 0.008, 0.0095])
def test_the_seeds_to_decide_are_enough(mean):
    """Either the difference is found, or it is within the margin."""
    [verdict] = verdicts([("a", "b")], [Estimate(mean, VARIANCE)], 0.01)
    assert verdict.word == "cannot tell"
    n = seeds_to_decide(verdict)
    assert n is None or n > 5
    if n is not None:
        more = VARIANCE.with_seeds(n, n)
        chances = (
            chance_to_differ(mean, more, verdict.alpha),
            chance_to_be_same(mean, more, verdict.margin),
        )
        assert max(chances) >= 0.8


def test_the_same_needs_a_narrow_interval():
    assert chance_to_be_same(0.0, KNOWN, 0.001) == 0
    assert chance_to_be_same(0.0, KNOWN, 0.05) == pytest.approx(1)
    assert chance_to_be_same(0.01, KNOWN, 0.01) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(
    ("n", "in_folds", "text"),
    [
        (14, False, "14"),
        (12, True, "12 or more"),
        (None, False, "more images"),
        (4096, False, "over 1,000"),
    ],
)
def test_the_text(n, in_folds, text):
    assert format_seeds(n, in_folds) == text


def test_six_folds_have_a_sixth_of_the_variance_of_six_seeds_on_the_same_images():
    official = Variance(6e-5, (1e-5, 1e-5), (0.0, 0.0), (6, 6), n_images=2000)
    folds = plan.with_folds(official)
    assert folds.images == pytest.approx(1e-5) and folds.seeds == official.seeds
    assert folds.n_images == 12_000 and folds.n_folds == 6


@pytest.mark.slow
def test_make_plan():
    printed = run("python", "-m", "scripts.plan", "1", "--row", "res", cwd=ROOT)
    lines = printed.splitlines()
    assert "chapter recipe, to find 1 points:" in lines
    assert "annealed recipe, to find 1 points:" in lines
    pairs = [line.split() for line in lines if "res" in line.split()[:2]]
    assert len(pairs) == 20
    # The hours are those of one core, as in the report.
    (line,) = (line for line in lines if line.split()[:2] == ["depth", "res"])
    n_seeds, hours = map(float, line.split()[2:4])
    loaded = params.load()
    seconds = training_seconds(loaded)
    expected = n_seeds * (seconds["depth"] + seconds["res"]) / 3600
    assert hours == pytest.approx(expected, abs=0.06)
    small = run("python", "-m", "scripts.plan", "0.1", "--row", "res", cwd=ROOT)
    assert small.count("more images") > printed.count("more images")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x"], "error: DIFF: 'x' is not a number; write make plan DIFF=0.5"),
        ([""], "error: DIFF: '' is not a number"),
        (["0"], "error: DIFF: 0 points; choose from 0.01 to 50"),
        (["nan"], "error: DIFF: nan points; choose from 0.01 to 50"),
        (["1", "--row", "none"], "error: ROW: none: no such row; choose one of connected"),
    ],
)
def test_wrong_plans_are_one_line(arguments, said):
    printed = run("python", "-m", "scripts.plan", *arguments, cwd=ROOT, check=False)
    assert printed.startswith(said) and printed.count("\n") == 1
