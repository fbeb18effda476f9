"""Differences in folds: by hand, against other formulas, and by simulation."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm, ttest_1samp

from benchmark.stats.folds import (
    fold_differences,
    fold_means,
    interaction_variances,
    net_scatters,
)

FOLDS = np.arange(6_000) % 6
Z = norm.ppf(0.9)


def nets(scatters, generator):
    """Nets with an accuracy of 90%. scatters: the standard deviation of each over folds."""
    difficulty = generator.normal(size=len(FOLDS))
    correct = {}
    for i, scatter in enumerate(scatters):
        # The density at the threshold converts a shift into a change of accuracy.
        shift = generator.normal(size=6) * scatter * np.sqrt(2) / norm.pdf(Z)
        noise = generator.normal(size=len(FOLDS))
        below = difficulty + noise < np.sqrt(2) * Z + shift[FOLDS]
        correct[str(i)] = below.astype(float)
    return correct


def test_three_nets_have_grubbs_variances():
    generator = np.random.default_rng(0)
    means = {name: generator.normal(size=6) * (i + 1) for i, name in enumerate("abc")}
    variances = interaction_variances(means)
    of_pair = {
        frozenset(pair): (means[pair[0]] - means[pair[1]]).var(ddof=1)
        for pair in combinations("abc", 2)
    }
    for net, one, two in ("abc", "bac", "cab"):
        grubbs = of_pair[frozenset(net + one)] + of_pair[frozenset(net + two)]
        grubbs = (grubbs - of_pair[frozenset(one + two)]) / 2
        assert variances[net] == pytest.approx(max(grubbs, 0))


def test_the_variances_are_unbiased():
    generator = np.random.default_rng(1)
    scatters = np.array([1.0, 1.0, 2.0, 3.0, 1.0])
    found = np.mean(
        [
            list(
                interaction_variances(
                    {str(i): generator.normal(size=30) * s for i, s in enumerate(scatters)}
                ).values()
            )
            for _ in range(1_000)
        ],
        axis=0,
    )
    assert found == pytest.approx(scatters**2, rel=0.1)


def test_with_two_nets_it_is_the_paired_t_test_over_folds():
    correct = nets([0.03, 0.03], np.random.default_rng(2))
    [found] = fold_differences(correct, FOLDS, [("0", "1")])
    over_folds = fold_means(correct["0"], FOLDS) - fold_means(correct["1"], FOLDS)
    test = ttest_1samp(over_folds, 0)
    low, high = test.confidence_interval(0.95)
    assert found.p == pytest.approx(test.pvalue)
    assert found.interval() == pytest.approx((low, high))


def test_the_variance_over_images_is_the_lower_limit():
    generator = np.random.default_rng(3)
    images = (generator.random(len(FOLDS)) < 0.9).astype(float)
    for fold in range(1, 6):  # all folds agree exactly
        images[fold::6] = images[::6]
    correct = {"a": images, "b": 1 - images, "c": np.roll(images, 6)}
    [found] = fold_differences(correct, FOLDS, [("a", "c")])
    error = (correct["a"] - correct["c"]).std(ddof=1) / np.sqrt(len(FOLDS))
    assert np.ptp(found.interval()) == pytest.approx(2 * 1.96 * error, rel=1e-3)


def test_scatter_beside_what_the_images_give():
    generator = np.random.default_rng(7)
    found = [net_scatters(nets([0.0] * 5 + [0.03], generator), FOLDS) for _ in range(100)]
    calm, scattered = (
        np.sqrt(np.mean([[s[n].folds ** 2, s[n].images ** 2] for s in found], axis=0))
        for n in ("0", "5")
    )
    assert calm[0] == pytest.approx(calm[1], rel=0.15)
    assert scattered[0] == pytest.approx(np.hypot(0.03, scattered[1]), rel=0.1)
    assert net_scatters(nets([0.0] * 2, generator), FOLDS) == {}


def test_equal_nets_do_not_differ():
    images = np.random.default_rng(4).integers(2, size=len(FOLDS)).astype(float)
    [found] = fold_differences({"a": images, "b": images}, FOLDS, [("a", "b")])
    assert (found.mean, found.p) == (0.0, 1.0)


def test_two_folds_are_refused():
    images = np.ones(4)
    with pytest.raises(ValueError, match="needs 3 folds, got 2"):
        fold_differences({"a": images, "b": images}, np.array([0, 1, 0, 1]), [("a", "b")])


@pytest.mark.parametrize(
    "scatters", [[0.004] * 6, [0.016, *[0.004] * 5], [0.008, 0.008, *[0.004] * 4]]
)
def test_error_rates_in_a_simulation(scatters):
    generator = np.random.default_rng(5)
    pairs = list(combinations(map(str, range(len(scatters))), 2))
    alarms = np.mean(
        [
            [d.p < 0.05 for d in fold_differences(nets(scatters, generator), FOLDS, pairs)]
            for _ in range(300)
        ],
        axis=0,
    )
    # A rate of 5% is known to ±2.5%; the worst of 15 pairs is above the rest by chance.
    assert alarms.max() < 0.1 and 0.01 < alarms.mean() < 0.06


def test_a_net_that_scatters_widens_only_its_own_intervals():
    generator = np.random.default_rng(6)
    widths = []
    for _ in range(200):
        correct = nets([0.004] * 5 + [0.03], generator)
        found = fold_differences(correct, FOLDS, [("0", "1"), ("0", "5")])
        widths.append([np.ptp(d.interval()) for d in found])
    calm, scattered = np.median(widths, axis=0)
    assert scattered > 2.5 * calm and calm < 0.03
