"""Words and intervals: by hand, and that an interval never contradicts its word."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_paired

from benchmark.stats.uncertainty import Estimate, Variance, compare_models
from benchmark.stats.verdicts import (
    SAME,
    UNKNOWN,
    format_limit,
    format_percent,
    format_points,
    verdicts,
)

MARGIN = 0.01


def estimate(mean, error, df=8):
    return Estimate(mean, Variance(0.0, (error**2,), (0.0,), (df + 1,), n_images=10**6))


def words(*means, error=0.002, margin=MARGIN):
    pairs = [(f"a{i}", "b") for i in range(len(means))]
    return verdicts(pairs, [estimate(mean, error) for mean in means], margin)


def test_the_four_words():
    found = [v.word for v in words(0.03, -0.03, 0.001, 0.008, error=0.004)]
    assert found == ["better", "worse", "the same", "cannot tell"]
    assert verdicts([], [], MARGIN) == []


def test_holm_decides_first():
    [verdict] = words(0.005, error=0.0005)  # clearly above 0, and within the margin
    assert verdict.word == "better"


def test_the_family_is_corrected_by_holm():
    alone = words(0.0065)[0]
    [one, other] = words(0.0065, 0.0)
    assert one.p == pytest.approx(2 * alone.p) and other.p == 1
    assert (one.alpha, other.alpha) == pytest.approx((0.025, 0.05))
    # With ten tests, the same difference is not significant.
    assert words(0.0065)[0].is_difference
    assert not words(0.0065, *[0.0] * 9)[0].is_difference


def test_two_one_sided_tests():
    """The word is "the same" if and only if both one-sided tests reject, at 5% each."""
    generator = np.random.default_rng(0)
    for _ in range(50):
        first, second = (generator.random((2, 2000)) < 0.9).astype(float)
        p = ttost_paired(first, second, -0.02, 0.02)[0]
        found = compare_models(first, second)
        [verdict] = verdicts([("a", "b")], [found], margin=0.02)
        if abs(p - 0.05) > 0.002 and not verdict.is_difference:  # a z-test here, t there
            assert (verdict.word == SAME) == (p < 0.05)


def test_another_margin_gives_other_words():
    assert words(0.004, margin=0.02)[0].word == SAME
    assert words(0.004, margin=0.005)[0].word == UNKNOWN


share = st.floats(-0.2, 0.2)


def turned(limit):
    """The other sign, as the text of a limit."""
    if limit.startswith("−"):
        return limit.removeprefix("−")
    return f"−{limit}" if float(limit) else limit


@settings(derandomize=True, deadline=None, database=None)
@given(
    st.lists(st.tuples(share, st.floats(1e-5, 0.1), st.integers(1, 50)), min_size=1),
    st.floats(0.0005, 0.05),
)
def test_no_interval_contradicts_its_word(drawn, margin):
    estimates = [estimate(*each) for each in drawn]
    for verdict in verdicts([("a", "b")] * len(drawn), estimates, margin):
        low, high = verdict.interval
        assert low <= verdict.estimate.mean <= high
        if verdict.is_difference:
            assert low > 0 if verdict.word == "better" else high < 0
        else:
            assert low <= 0 <= high
            assert (verdict.word == SAME) == (-margin < low and high < margin)
        back = verdict.reversed
        assert back.interval == pytest.approx((-high, -low))
        opposite = {"better": "worse", "worse": "better"}
        assert back.word == opposite.get(verdict.word, verdict.word)
        assert (back.first, back.second) == ("b", "a")
        limits = verdict.shown_interval.split(" to ")
        if verdict.is_difference:
            assert back.shown_interval == verdict.shown_interval
        else:
            assert back.shown_interval.split(" to ") == [*map(turned, reversed(limits))]


@settings(derandomize=True, deadline=None, database=None)
@given(share, st.floats(1e-5, 0.1))
def test_no_shown_interval_contradicts_its_word(mean, error):
    verdict = words(mean, error=error)[0]
    low, high = (
        float(limit.replace("−", "-")) for limit in verdict.shown_interval.split(" to ")
    )
    if verdict.is_difference:
        assert 0 < low <= high or min(np.abs(verdict.interval)) < 1e-6
    elif verdict.word == SAME:
        assert -1 <= low <= 0 <= high <= 1
    else:
        assert low <= 0 <= high
        assert low < -1 or high > 1 or abs(np.abs(verdict.interval) - 0.01).min() < 1e-6


def test_the_shown_interval_contains_the_true_difference():
    """At least 92.5%, as the word chooses between two kinds of interval."""
    generator = np.random.default_rng(0)
    for true, error in ((0.0, 0.002), (0.003, 0.0015), (0.004, 0.002), (0.02, 0.004)):
        means = generator.normal(true, error, size=1000)
        shown = [words(mean, error=error)[0].interval for mean in means]
        covered = np.mean([low <= true <= high for low, high in shown])
        # Student's t, with 8 degrees of freedom, is wider than this normal distribution.
        assert covered > 0.925


def test_the_text():
    better, worse, unknown = words(0.02, -0.03, 0.009, error=0.005)
    assert str(better) == "better by 2.0 points (0.6 to 3.4)"
    assert str(worse) == "worse by 3.0 points (1.5 to 4.5)"
    [same] = words(0.0)
    assert str(same) == "the same (−0.4 to 0.4)"
    assert str(unknown).startswith("cannot tell (")
    # A 90% interval above 0 is extended to 0, because the word is "the same".
    [inside] = words(0.004, error=0.0019)
    assert inside.estimate.interval(0.9).low > 0 and str(inside) == "the same (0.0 to 0.8)"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.012, "1.2"), (0.003, "0.3"), (-0.003, "−0.3"), (-0.0001, "0.0"), (0.123, "12.3")],
)
def test_points(share, text):
    assert format_points(share) == text


def test_halves_are_rounded_up_whatever_the_last_bit_is():
    half = 0.0125
    for bits in (np.nextafter(half, 0), half, np.nextafter(half, 1)):
        assert format_points(bits) == "1.3"


@pytest.mark.parametrize(
    ("limit", "bound", "text"),
    [
        (0.0004, 0, "0.04"),
        (-0.0004, 0, "−0.04"),
        (0.0104, 0.01, "1.04"),
        (0.0096, 0.01, "0.96"),
        (-0.0096, 0.01, "−0.96"),
        (0.0004, 0.01, "0.0"),
        (0.05, 0, "5.0"),
    ],
)
def test_limits_stay_on_their_side(limit, bound, text):
    assert format_limit(limit, bound) == text


def test_percent():
    assert format_percent(0.8948) == "89.5%"
