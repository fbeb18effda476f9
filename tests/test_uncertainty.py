"""Intervals and tests: checked by hand, against libraries, and by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_ind, ttest_rel
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from benchmark.stats.uncertainty import (
    accuracy_interval,
    compare_models,
    correctness_matrix,
    difference_interval,
)
from studies import significance as simulate


def net(seed, n_seeds=4, n_images=40, threshold=1.0):
    """Correct and wrong predictions: some images are harder for every seed."""
    hard = np.random.default_rng(0).normal(size=n_images)
    rest = np.random.default_rng(seed).normal(size=(n_seeds, n_images))
    return (hard + rest < threshold).astype(float)


def mean_squares(values):
    """Return the mean squares of seeds, images and the residual, from statsmodels."""
    table = pd.DataFrame(values).stack().rename_axis(["seed", "image"]).rename("value")
    layout = ols("value ~ C(seed) + C(image)", table.reset_index()).fit()
    return anova_lm(layout)["mean_sq"]


def half_of(estimate):
    low, high = estimate.interval()
    return (high - low) / 2


# Two seeds that are good at different images: image means vary less than by chance.
ELSEWHERE = np.array([[1.0] * 30 + [0.0] * 10, [0.0] * 25 + [1.0] * 15])


@pytest.mark.parametrize("right", [*map(net, range(1, 6)), ELSEWHERE])
def test_an_accuracy_has_the_variance_of_a_two_way_layout(right):
    of_seeds, of_images, residual = mean_squares(right)
    spread = max(of_seeds + max(of_images - residual, 0), of_images)
    df = spread**2 / (of_seeds**2 / (len(right) - 1))
    half = student.ppf(0.975, df) * (spread / right.size) ** 0.5
    found = accuracy_interval(right)
    assert found.mean == pytest.approx(right.mean())
    assert half_of(found) == pytest.approx(half)


def test_the_interval_ends_at_0_if_p_is_5_percent():
    first, second = net(1), net(2, threshold=1.5)
    found = difference_interval(first, second)
    assert difference_interval(first - found.interval().low, second).p == pytest.approx(
        0.05
    )
    assert difference_interval(first - found.interval().high, second).p == pytest.approx(
        0.05
    )


def test_if_only_seeds_vary_it_is_welchs_test():
    """All images are alike, so each net has one accuracy per seed; nets are independent."""
    accuracies = [0.3, 0.5, 0.6], [0.1, 0.2, 0.4, 0.2]
    first, second = (np.tile(np.array(each)[:, None], (1, 50)) for each in accuracies)
    found = difference_interval(first, second)
    welch = ttest_ind(*accuracies, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue)
    assert found.interval() == pytest.approx(tuple(welch.confidence_interval()))


def test_if_seeds_agree_it_is_the_paired_test_over_images():
    first, second = (np.tile(net(seed)[:1], (3, 1)) for seed in (1, 2))
    found = difference_interval(first, second)
    rel = ttest_rel(first[0], second[0])
    # Seeds do not differ, so the degrees of freedom are infinite.
    assert found.mean / half_of(found) * 1.959964 == pytest.approx(rel.statistic)


def test_the_variance_over_images_is_the_lower_limit():
    """Two seeds with equally many errors, on different images, seem to have no variance."""
    right = np.ones((2, 100))
    right[0, :10] = right[1, 10:20] = 0
    of_seeds, of_images, residual = mean_squares(right)
    assert of_seeds == pytest.approx(0) and of_images < residual
    found = accuracy_interval(right)
    alone = 1.959964 * right.mean(axis=0).std(ddof=1) / 10
    assert half_of(found) == pytest.approx(alone)


def test_nets_may_have_different_numbers_of_seeds():
    one, other = net(1, n_seeds=3), net(2, n_seeds=6)
    found, back = difference_interval(one, other), difference_interval(other, one)
    low, high = back.interval()
    assert found.interval() == pytest.approx((-high, -low))
    assert found.p == back.p
    assert found.mean == pytest.approx(one.mean() - other.mean())


def test_even_if_nothing_varies_few_images_prove_little():
    """It is as if one more image could have come out otherwise."""
    wrong, right = np.zeros((3, 10)), np.ones((3, 10))
    assert accuracy_interval(right).mean == 1 and accuracy_interval(right).error == 0.1
    assert difference_interval(right, right).p == 1
    alone = right.copy()
    alone[:, 0] = 0
    assert difference_interval(right, alone).p > 0.3
    assert difference_interval(right, wrong).p < 1e-6


def test_one_model_each_is_the_paired_test_over_images():
    first, second = net(1)[0], net(2)[0]
    found, expected = compare_models(first, second), ttest_rel(first, second)
    assert found.mean / found.error == pytest.approx(expected.statistic)


def test_with_more_seeds_only_the_part_of_the_seeds_falls():
    variance = difference_interval(net(1, 5), net(2, 3, threshold=1.5)).variance
    assert variance.n_seeds == (5, 3)
    many = variance.with_seeds(10**9, 10**9)
    assert many.total == pytest.approx(variance.images)
    double = variance.with_seeds(10, 6)
    expected = variance.images + (variance.total - variance.images) / 2
    assert double.total == pytest.approx(expected)
    one = variance.with_seeds(5, 6)
    assert one.seeds == pytest.approx((variance.seeds[0], variance.seeds[1] / 2))


def test_the_expected_variance_is_that_of_more_seeds():
    """Predicted from 10 seeds, measured with 40, on average over many simulations."""
    generator, predicted, measured = np.random.default_rng(0), [], []
    for _ in range(60):
        a, b = simulate.score([0.89] * 2, [0.01] * 2, 40, generator)
        predicted.append(
            difference_interval(a[:10], b[:10]).variance.with_seeds(40, 40).total
        )
        measured.append(difference_interval(a, b).variance.total)
    assert np.mean(predicted) == pytest.approx(np.mean(measured), rel=0.1)


@pytest.mark.parametrize("shape", [(1, 10), (3, 1)])
def test_one_seed_is_refused(shape):
    with pytest.raises(ValueError, match="two seeds"):
        accuracy_interval(np.ones(shape))
    with pytest.raises(ValueError, match="two seeds"):
        difference_interval(np.ones(shape), np.ones((3, shape[1])))


@pytest.mark.parametrize("regime", simulate.REGIMES)
def test_error_rates_in_a_simulation(regime):
    deviation = simulate.REGIMES[regime] / 100
    shares = simulate.simulate(deviation, 5, 300, np.random.default_rng(1))
    assert shares["alarm"] < 0.095
    assert 0.91 < shares["covered"] <= 1
    assert 0.91 < shares["covered_difference"] <= 1
    assert shares["same"] < 0.08


def test_error_rates_of_whole_tables():
    generator = np.random.default_rng(1)
    unequal = list(np.linspace(0, 0.03, 11))
    shares = simulate.simulate_tables(unequal, 5, 60, generator)
    assert max(shares.values()) < 0.13


@pytest.mark.slow
def test_other_methods_mislead():
    """The simulation can tell methods apart: it shows that the usual tests fail."""
    generator = np.random.default_rng(1)
    assert simulate.simulate(0.0, 5, 300, generator)["alarm_seeds"] > 0.1
    assert simulate.simulate(0.04, 5, 300, generator)["alarm_images"] > 0.3
    assert simulate.simulate(0.01, 2, 300, generator)["alarm_paired"] > 0.08


def test_the_correctness_matrix():
    predictions = pd.DataFrame(
        {
            "example": [0, 1, 2],
            "label": [0, 1, 1],
            "seed_0": [0, 0, 1],
            "seed_10": [1, 1, 1],
        }
    )
    found = correctness_matrix(predictions)
    assert found.index.tolist() == [0, 10]
    assert found.to_numpy().tolist() == [[1, 0, 1], [0, 1, 1]]
