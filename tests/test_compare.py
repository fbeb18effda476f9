"""The tables and the chart that show which differences are real."""

import numpy as np
import pandas as pd
import pytest

from benchmark.reporting import charts
from benchmark.reporting.comparison import all_pairs, differences_from_baseline
from benchmark.reporting.figures import png
from benchmark.reporting.results import Results
from stages import compare

LABEL = np.arange(2000) % 2


def results_of(thresholds, n_seeds=3, seed=1, scatter=0.3):
    """Invented results: a prediction is correct if the image is easier than a threshold."""
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


def test_each_net_is_compared_with_the_baseline(three):
    tested = differences_from_baseline(three)
    assert list(tested) == ["better", "alike"]
    assert tested["better"].is_significant and not tested["alike"].is_significant
    table = compare.results_table(three, tested)
    assert row(table, "better")[5].startswith("better by ")
    assert row(table, "alike")[5] == "no clear difference"
    assert row(table, "baseline")[5] == "–"
    assert row(table, "baseline")[1:3] == [
        "Two convolutions and two fully connected layers", "8.3.3"
    ]  # fmt: skip
    assert row(table, "alike")[1:3] == ["–", "–"]  # it has no file
    numbers = table.partition("## More numbers")[2]
    assert row(numbers, "baseline")[4] == "50.0%"  # the epochs that were scored
    assert "3 training runs (seeds 0 to 2) of 11 epochs, on 2,000 test images" in table


def test_all_pairs_with_letters(three):
    pairs = all_pairs(three)
    assert len(pairs) == 3
    assert pairs[0].first == "better"
    text = compare.pairs_table(three, pairs)
    assert "2 of 3 differences are significant" in text
    assert row(text, "better")[2] == "a"
    assert row(text, "baseline")[2] == row(text, "alike")[2] == "b"
    # The interval contains 0 if and only if p is above 5% before Holm's correction.
    [alike] = [p for p in pairs if {p.first, p.second} == {"baseline", "alike"}]
    low, high = row(text[text.index("| compared with |") :], alike.first)[4].split(" to ")
    assert low.startswith("−") and not high.startswith("−")


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_few_seeds_give_a_warning(n_seeds):
    results = results_of({"baseline": 1.2, "better": 1.7}, n_seeds)
    said = "With fewer than 5 seeds, false alarms can exceed 5%."
    table = compare.results_table(results, differences_from_baseline(results))
    pairs = compare.pairs_table(results, all_pairs(results))
    assert (said in table) == (said in pairs) == (n_seeds < 5)


def test_one_net_alone():
    alone = results_of({"baseline": 1.2})
    assert "nothing to compare" in compare.pairs_table(alone, all_pairs(alone))
    axes = charts.ranking(alone, differences_from_baseline(alone)).axes[0]
    assert "95% interval" in axes.get_xlabel()


def test_the_ranking_is_in_order_of_accuracy(three):
    figure = charts.ranking(three, differences_from_baseline(three))
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == three.by_accuracy
    assert names[0] == "better" and axes.yaxis_inverted()
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == [
        "baseline",
        "better than baseline",
        "no clear difference from baseline",
    ]
    assert axes.get_title(loc="left") == "One net differs clearly from the baseline"
    assert png(figure)[:4] == b"\x89PNG"


def test_one_seed_shows_no_differences():
    one = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=1)
    assert differences_from_baseline(one) == {} and all_pairs(one) == []
    table = compare.results_table(one, {})
    assert row(table, "better")[5] == "–"
    assert row(table.partition("## More numbers")[2], "better")[3] == "–"
    assert "One seed cannot show which differences are real." in table
    assert "One seed cannot show" in compare.pairs_table(one, [])
    axes = charts.ranking(one, {}).axes[0]
    assert axes.get_title(loc="left").startswith("One seed")
    assert axes.get_xlabel() == "test accuracy of one seed"


def test_the_same_bytes_again(three):
    tested = differences_from_baseline(three)
    first, second = (png(charts.ranking(three, tested)) for _ in range(2))
    assert first == second
