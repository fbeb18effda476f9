"""The tables and the chart that show which differences are real."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from benchmark import params
from benchmark.reporting import charts
from benchmark.reporting.comparison import (
    all_pairs,
    differences_from_baseline,
    letters_of,
)
from benchmark.reporting.figures import png
from benchmark.reporting.results import Results, refuse_other_images
from benchmark.running.errors import UserError
from stages import compare
from tests.conftest import COMMITTED

EXAMPLE = np.arange(2000)
LABEL = EXAMPLE % 2


def results_of(thresholds, n_seeds=3, seed=1, scatter=0.3, recipe="train"):
    """Invented results: a prediction is correct if the image is easier than a threshold."""
    hard = np.random.default_rng(0).normal(size=len(LABEL))
    generator = np.random.default_rng(seed)
    metrics, seeds, curves, predictions = {}, {}, {}, {}
    for name, threshold in thresholds.items():
        rest = generator.normal(size=(n_seeds, len(LABEL))) * scatter
        right = hard + rest < threshold
        table = {f"seed_{s}": np.where(right[s], LABEL, 1 - LABEL) for s in range(n_seeds)}
        predictions[name] = pd.DataFrame({"example": EXAMPLE, "label": LABEL, **table})
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
    return Results(recipe, rows_of(thresholds), metrics, seeds, curves, predictions)


def rows_of(names):
    """Rows of these nets; only baseline has a file."""
    row = params.row_of(COMMITTED, "baseline")
    return {name: dataclasses.replace(row, name=name, net=name) for name in names}


def in_folds(thresholds, n_folds=6, seed=1, **arguments):
    """Invented results of a row in folds: seed k is tested on fold k."""
    made = results_of(thresholds, n_folds, seed, recipe="annealed", **arguments)
    fold = np.arange(len(LABEL)) % n_folds
    for name, predictions in made.predictions.items():
        predictions.insert(0, "fold", fold)
        for k in range(n_folds):
            predictions[f"seed_{k}"] = predictions[f"seed_{k}"].where(fold == k)
        made.metrics[name] |= {"n_folds": n_folds, "fold_0_accuracy": 0.8765}
    return made


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
    table = compare.results_table([three], [tested])
    assert row(table, "better")[5].startswith("better by ")
    assert row(table, "alike")[5] == "no clear difference"
    assert row(table, "baseline")[5] == "–"
    assert row(table, "baseline")[1:3] == [
        "Two convolutions and two fully connected layers", "8.3.3"
    ]  # fmt: skip
    assert row(table, "alike")[1:3] == ["–", "–"]  # it has no file
    numbers = table.partition("## More numbers")[2]
    assert row(numbers, "baseline")[4] == "50.0%"  # the epochs that were scored
    assert (
        "Accuracy: the mean of 3 training runs of 11 epochs, on 2,000 test images." in table
    )


def test_all_pairs_with_letters(three):
    pairs = all_pairs(three)
    assert len(pairs) == 3
    assert pairs[0].first == "better"
    text = compare.pairs_table([three])
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
    table = compare.results_table([results], [differences_from_baseline(results)])
    pairs = compare.pairs_table([results])
    assert (said in table) == (said in pairs) == (n_seeds < 5)


def test_one_net_alone():
    alone = results_of({"baseline": 1.2})
    assert "nothing to compare" in compare.pairs_table([alone])
    figure = charts.ranking([alone], [differences_from_baseline(alone)])
    assert "95% interval" in figure.get_supxlabel()


def test_the_ranking_is_in_order_of_accuracy(three):
    figure = charts.ranking([three], [differences_from_baseline(three)])
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == three.by_accuracy
    assert names[0] == "better" and axes.yaxis_inverted()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "baseline",
        "better than baseline",
        "no clear difference from baseline",
    ]
    assert axes.get_title(loc="left") == "1 of 2 nets differ clearly from the baseline"
    assert png(figure)[:4] == b"\x89PNG"


def test_one_seed_shows_no_differences():
    one = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=1)
    assert differences_from_baseline(one) == {} and all_pairs(one) == []
    table = compare.results_table([one], [{}])
    assert row(table, "better")[5] == "–"
    assert row(table.partition("## More numbers")[2], "better")[3] == "–"
    assert "One seed cannot show which differences are real." in table
    assert "One seed cannot show" in compare.pairs_table([one])
    figure = charts.ranking([one], [{}])
    assert figure.axes[0].get_title(loc="left").startswith("One seed cannot show which")
    assert figure.get_supxlabel() == "test accuracy of one seed"


def test_the_same_bytes_again(three):
    tested = differences_from_baseline(three)
    first, second = (png(charts.ranking([three], [tested])) for _ in range(2))
    assert first == second


def test_a_net_that_learned_nothing_is_named():
    made = results_of({"baseline": 1.2, "dead": 1.2, "better": 1.7}, n_seeds=5)
    made.predictions["dead"]["seed_1"] = made.predictions["dead"]["seed_4"] = 1
    assert made.stuck == {"dead": [1, 4]}
    said = "With seeds 1, 4, dead predicts the same class for every image: it learned"
    assert said in compare.results_table([made], [{}])
    assert said in compare.pairs_table([made])


def test_rows_in_folds():
    made = in_folds({"baseline": 1.2, "better": 1.7, "alike": 1.2})
    tested = differences_from_baseline(made)
    assert tested["better"].is_significant and not tested["alike"].is_significant
    text = compare.results_table([made], [tested])
    assert row(text, "better")[5].startswith("better by ")
    assert "another sixth of the images and trained on the rest (2,000 tested" in text
    numbers = text.partition("## More numbers")[2]
    assert row(numbers, "baseline")[4] == "87.6%"  # on the official test images
    found = made.scatters["baseline"]
    shown = [float(number) for number in row(numbers, "baseline")[5:7]]
    assert shown == pytest.approx([100 * found.folds, 100 * found.images], abs=0.005)
    assert len(all_pairs(made)) == 3
    wide, narrow = (i.intervals["baseline"] for i in (made, results_of({"baseline": 1.2})))
    assert wide.low < made.correct["baseline"].mean() < wide.high
    assert narrow.low != wide.low


def test_a_row_that_does_not_cover_all_folds_has_no_verdict():
    made = in_folds({"baseline": 1.2, "better": 1.7, "partly": 1.7})
    partly = made.predictions["partly"]
    kept = partly[partly["fold"] < 2].drop(columns=[f"seed_{k}" for k in range(2, 6)])
    made.predictions["partly"] = kept.reset_index(drop=True)
    tested = differences_from_baseline(made)
    assert list(tested) == ["better"] and list(made.intervals) == ["baseline", "better"]
    text = compare.results_table([made], [tested])
    assert row(text, "partly")[5] == "–"
    assert "partly covers 2 of 6 folds, so there is no verdict." in text
    assert "| partly |" not in compare.pairs_table([made])
    letters = letters_of(made, all_pairs(made))
    assert set(letters) == {"baseline", "better"}


@pytest.mark.parametrize("official", ["baseline", "better"])
def test_rows_of_other_splits_are_refused(official):
    made = in_folds({"baseline": 1.2, "better": 1.7})
    made.predictions[official] = results_of({official: 1.2}).predictions[official]
    if official == "baseline":
        del made.metrics[official]["n_folds"]
    with pytest.raises(UserError, match=r"^results of \w+: not the same images as \w+; "):
        refuse_other_images(made)


def test_accuracies_on_held_out_images_are_called_so(three):
    held_out = results_of({"baseline": 1.2, "better": 1.7})
    for metrics in held_out.metrics.values():
        metrics["holdout"] = 0.2
    text = compare.results_table([held_out], [{}])
    assert "on 2,000 held-out training images" in text
    assert "on 2,000 test images" in compare.results_table([three], [{}])


def test_two_recipes_side_by_side(three):
    families = [three, in_folds({"better": 1.7, "baseline": 1.2, "other": 1.2})]
    tested = [differences_from_baseline(results) for results in families]
    text = compare.results_table(families, tested)
    better, alike, other = (row(text, name) for name in ("better", "alike", "other"))
    assert better[5].startswith("better") and better[7].startswith("better")
    assert alike[6:] == ["–", "–"] and other[4:6] == ["–", "–"]
    assert "- Chapter: the mean of 3" in text and "- Annealed: the mean of 6" in text
    pairs = compare.pairs_table(families)
    assert pairs.index("## Chapter") < pairs.index("## Annealed")
    figure = charts.ranking(families, tested)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "chapter: 1 of 2 nets differ", "annealed: 1 of 2 nets differ"
    ]  # fmt: skip
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[0] == "better" and set(names) == {*three.names, "other"}
    curves = charts.loss_curves(families)
    assert [axes.get_title(loc="left") for axes in curves.axes] == [*three.names, "other"]
