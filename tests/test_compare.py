"""The tables and the picture that say which differences are real."""

import numpy as np
import pandas as pd
import pytest

from benchmark.reporting import charts
from benchmark.reporting.comparison import against_baseline, all_pairs
from benchmark.reporting.figures import png
from benchmark.reporting.results import Results
from stages import compare

LABEL = np.arange(2000) % 2


def results_of(thresholds, n_seeds=3, seed=1, scatter=0.3):
    """Made-up results: a net is right where an image is easier than its threshold."""
    hard = np.random.default_rng(0).normal(size=len(LABEL))
    generator = np.random.default_rng(seed)
    metrics, seeds, curves, predictions = {}, {}, {}, {}
    for name, threshold in thresholds.items():
        rest = generator.normal(size=(n_seeds, len(LABEL))) * scatter
        right = hard + rest < threshold
        table = {f"seed_{s}": np.where(right[s], LABEL, 1 - LABEL) for s in range(n_seeds)}
        predictions[name] = pd.DataFrame({"label": LABEL, **table})
        each = right.mean(axis=1)
        seeds[name] = pd.DataFrame(
            {"seed": range(n_seeds), "train_accuracy": each, "val_accuracy": each}
        )
        curves[name] = pd.DataFrame(
            {
                "seed": 0,
                "epoch": range(1, 12),
                "loss": 1.0,
                "val_accuracy": [np.nan, *[0.5] * 10],
            }
        )
        metrics[name] = {
            "params": 1000, "train_accuracy": each.mean(), "val_accuracy": each.mean(),
        }  # fmt: skip
    return Results(metrics, seeds, curves, predictions)


@pytest.fixture(scope="module")
def three():
    return results_of({"baseline": 1.2, "better": 1.7, "alike": 1.2})


def row(table, name):
    [line] = [line for line in table.splitlines() if line.startswith(f"| {name} |")][:1]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_is_held_against_the_baseline(three):
    against = against_baseline(three)
    assert list(against) == ["better", "alike"]
    assert against["better"].is_significant and not against["alike"].is_significant
    table = compare.results_table(three, against)
    assert row(table, "better")[5].startswith("better by ")
    assert row(table, "alike")[5] == "not distinguishable"
    assert row(table, "baseline")[5] == "–"
    assert row(table, "baseline")[6] == ".5000"  # the epochs that were scored
    assert "Means over seeds 0 to 2, 11 epochs, scored on 2,000" in table


def test_all_pairs_with_letters(three):
    pairs = all_pairs(three)
    assert len(pairs) == 3
    assert pairs[0].first == "better"
    text = compare.pairs_table(three, pairs)
    assert "2 of 3 differences are more than noise" in text
    assert row(text, "better")[2] == "a"
    assert row(text, "baseline")[2] == row(text, "alike")[2] == "b"
    # Of these, the interval alone holds 0 exactly where p before Holm is above 5%.
    [alike] = [p for p in pairs if {p.first, p.second} == {"baseline", "alike"}]
    low, high = row(text[text.index("| against |") :], alike.first)[4].split(" to ")
    assert low.startswith("−") and not high.startswith("−")


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_few_seeds_are_said_to_be_few(n_seeds):
    results = results_of({"baseline": 1.2, "better": 1.7}, n_seeds)
    said = "With fewer than 5 seeds, false alarms can be more than 5%."
    table = compare.results_table(results, against_baseline(results))
    pairs = compare.pairs_table(results, all_pairs(results))
    assert (said in table) == (said in pairs) == (n_seeds < 5)


def test_one_net_alone():
    alone = results_of({"baseline": 1.2})
    assert "nothing to compare" in compare.pairs_table(alone, all_pairs(alone))
    axes = charts.ranking(alone, against_baseline(alone), []).axes[0]
    assert "mean, 95% interval" in axes.get_xlabel()


def test_the_ranking_is_in_order_of_accuracy(three):
    pairs = all_pairs(three)
    figure = charts.ranking(three, against_baseline(three), pairs)
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == three.by_accuracy
    assert names[0] == "better" and axes.yaxis_inverted()
    assert [text.get_text() for text in axes.texts] == ["a", "b", "b"]
    assert png(figure)[:4] == b"\x89PNG"


def test_one_seed_is_told_from_noise_by_nothing():
    one = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=1)
    assert against_baseline(one) == {} and all_pairs(one) == []
    table = compare.results_table(one, {})
    assert row(table, "better")[4:6] == ["–", "–"]
    assert "With one seed no difference can be told from noise." in table
    assert "With one seed" in compare.pairs_table(one, [])
    axes = charts.ranking(one, {}, []).axes[0]
    assert axes.get_title(loc="left").startswith("One seed")
    assert axes.get_xlabel() == "validation accuracy of one seed"


def test_the_same_bytes_again(three):
    pairs, against = all_pairs(three), against_baseline(three)
    first, second = (png(charts.ranking(three, against, pairs)) for _ in range(2))
    assert first == second
