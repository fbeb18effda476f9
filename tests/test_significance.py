"""Families of differences: verdicts and letters."""

import numpy as np
import pytest

from benchmark.stats.significance import (
    Difference,
    compact_letter_display,
    differences,
    format_points,
)
from benchmark.stats.uncertainty import Estimate, difference_interval


def test_differences_are_one_family():
    generator = np.random.default_rng(0)
    hard = generator.normal(size=500)

    def net(threshold):
        return (hard + 0.3 * generator.normal(size=(3, 500)) < threshold).astype(float)

    nets = {"a": net(1.5), "b": net(1.0), "c": net(1.0)}
    better, same = differences(nets, [("a", "b"), ("b", "c")])
    assert better.is_significant and not same.is_significant
    assert better.estimate == difference_interval(nets["a"], nets["b"])
    assert better.p == pytest.approx(2 * better.estimate.p)
    assert same.p == same.estimate.p
    assert str(better).startswith("better by ") and str(same) == "no clear difference"
    worse = differences(nets, [("b", "a")])[0]
    assert str(worse) == str(better).replace("better", "worse")
    assert differences(nets, []) == []


def test_many_groups_have_different_labels():
    names = [str(i) for i in range(60)]
    given = compact_letter_display(names, [])
    assert given["0"] == "a" and given["51"] == "Z" and given["52"] == "[53]"
    assert len(set(given.values())) == 60


def alike(*pairs):
    return [Difference(a, b, Estimate(0, -1, 1, 1), p=1) for a, b in pairs]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], "a b c d"),
        (["wx", "wy", "wz", "xy", "xz", "yz"], "a a a a"),
        (["wx", "xy", "yz"], "a ab bc c"),
        (["wx", "yz"], "a a b b"),
        (["wy"], "a b a c"),
    ],
)
def test_letters(pairs, expected):
    assert " ".join(compact_letter_display("wxyz", alike(*pairs)).values()) == expected


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.012, "1.2"), (0.003, "0.3"), (-0.003, "−0.3"), (-0.0001, "0.0"), (0.123, "12.3")],
)
def test_points(share, text):
    assert format_points(share) == text
