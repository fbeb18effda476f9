"""The tables and the chart that show which differences are real."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from benchmark import params
from benchmark.reporting import charts
from benchmark.reporting.comparison import compare as judge
from benchmark.reporting.figures import png
from benchmark.reporting.results import Results, merged, refuse_other_images, vote_accuracy
from benchmark.running.errors import UserError
from benchmark.stats.planning import in_full, needed, smallest_difference
from benchmark.stats.verdicts import format_points
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
    return Results(recipe, rows_of(thresholds), metrics, seeds, curves, predictions, 0.01)


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
    tested = judge(three).vs_baseline
    assert list(tested) == ["better", "alike"]
    assert tested["better"].word == "better" and not tested["alike"].is_difference
    table = compare.results_table([judge(three)])
    assert row(table, "better")[5].startswith("better by ")
    assert row(table, "alike")[5] == in_full(tested["alike"])
    assert row(table, "baseline")[5] == "–"
    assert row(table, "baseline")[1:3] == [
        "Two convolutions and two fully connected layers", "8.3.3"
    ]  # fmt: skip
    assert row(table, "alike")[1:3] == ["–", "–"]  # it has no file
    numbers = table.partition("## More numbers")[2]
    assert row(numbers, "baseline")[5] == "50.0%"  # the epochs that were scored
    assert (
        "Accuracy: the mean of 3 training runs of 11 epochs, on 2,000 test images." in table
    )


def test_all_pairs(three):
    comparison = judge(three)
    assert [pair.first for pair in comparison.pairs][:2] == ["better", "better"]
    text = compare.pairs_table([comparison])
    assert "Of 3 pairs, 2 differ, " in text
    assert row(text, "better")[2] == "–"
    assert row(text, "baseline")[2] == "alike" and row(text, "alike")[2] == "baseline"
    verdicts = text[text.index("| compared with |") :]
    assert row(verdicts, "better")[2] == str(comparison.pairs[0])
    assert "without one seed" not in text  # two seeds would be too few


def test_a_pair_that_is_not_decided_says_what_would_decide_it():
    made = results_of({"baseline": 1.2, "other": 1.22}, n_seeds=5, scatter=1)
    [pair] = judge(made).pairs
    assert pair.word == "cannot tell"
    seeds = needed(pair)
    assert seeds == "more images" or int(seeds) > 5
    text = compare.pairs_table([judge(made)])
    cells = row(text[text.index("| compared with |") :], pair.first)
    assert cells[2:] == [
        str(pair),
        format_points(smallest_difference(pair.estimate.variance, pair.alpha)),
        seeds,
        cells[-1],
    ]
    assert in_full(pair).startswith(f"{pair}; needs {seeds}")


def test_each_pair_is_in_one_family():
    """Pairs with the baseline are corrected for each other, and so are the others."""
    names = ["baseline", "a", "b", "c", "d"]
    made = results_of(dict.fromkeys(names, 1.2), n_seeds=5)
    alphas = {(p.first, p.second): p.alpha for p in judge(made).pairs}
    assert len(alphas) == 10
    for pair, alpha in alphas.items():
        assert alpha == pytest.approx(0.05 / (4 if "baseline" in pair else 6))


def without(made, part):
    """The same results without one seed, and the names of its columns as before."""
    kept = {name: p.drop(columns=f"seed_{part}") for name, p in made.predictions.items()}
    seeds = {name: s[s["seed"] != part] for name, s in made.seeds.items()}
    return dataclasses.replace(made, predictions=kept, seeds=seeds)


def test_words_that_change_without_a_seed():
    """The same words come out if the seed's column is not in the files."""
    made = results_of({"baseline": 1.2, "a": 1.3, "b": 1.24}, n_seeds=4, scatter=0.6)
    changed = judge(made).changed_words
    words = {(p.first, p.second): p.word for p in judge(made).pairs}
    assert set(changed) == set(words)
    for part in range(4):
        for pair, parts in changed.items():
            other = judge(without(made, part)).between(*pair)
            assert (other.word != words[pair]) == (part in parts)
    text = compare.pairs_table([judge(made)])
    n_same = sum(not parts for parts in changed.values())
    assert f"{n_same} of 3 pairs keep the same verdict, whichever seed is left out." in text


def test_words_that_change_without_a_fold():
    made = in_folds({"baseline": 1.2, "a": 1.3, "b": 1.24}, scatter=0.6)
    changed = judge(made).changed_words
    text = compare.pairs_table([judge(made)])
    n_same = sum(not parts for parts in changed.values())
    assert f"{n_same} of 3 pairs keep the same verdict, whichever fold is left out." in text
    kept = made.folds != 5
    del made.__dict__["correct"]
    for name, predictions in made.predictions.items():
        made.predictions[name] = predictions[kept].drop(columns="seed_5")
        made.metrics[name]["n_folds"] = 5
    words = {(p.first, p.second): p.word for p in judge(made).pairs}
    for pair, parts in changed.items():
        assert (5 in parts) == (words[pair] != judge_in_full(pair))


def judge_in_full(pair):
    made = in_folds({"baseline": 1.2, "a": 1.3, "b": 1.24}, scatter=0.6)
    return judge(made).between(*pair).word


def with_fewer_seeds(made, name, n_seeds):
    drop = [f"seed_{s}" for s in range(n_seeds, len(made.seeds[name]))]
    made.predictions[name] = made.predictions[name].drop(columns=drop)
    made.seeds[name] = made.seeds[name][:n_seeds]
    return made


def test_one_row_with_few_seeds_takes_nothing_from_the_others():
    made = with_fewer_seeds(
        results_of({"baseline": 1.2, "a": 1.3, "few": 1.7}, 5), "few", 2
    )
    comparison = judge(made)
    assert len(comparison.pairs) == 1 and len(comparison.changed_words) == 1
    text = compare.pairs_table([comparison])
    assert "few has 2 seeds, so there is no verdict." in text
    assert "There are no verdicts" not in text and "can exceed" not in text


def test_every_seed_is_left_out_once():
    made = with_fewer_seeds(results_of({"baseline": 1.2, "a": 1.3}, 8), "a", 5)
    [pair] = judge(made).pairs
    for part in range(8):
        kept = without(made, part) if part < 5 else drop_from_baseline(made, part)
        [other] = judge(kept).pairs
        changed = judge(made).changed_words[pair.first, pair.second]
        assert (other.word != pair.word) == (part in changed)


def drop_from_baseline(made, part):
    kept = dict(made.predictions)
    kept["baseline"] = kept["baseline"].drop(columns=f"seed_{part}")
    seeds = dict(made.seeds)
    seeds["baseline"] = seeds["baseline"][seeds["baseline"]["seed"] != part]
    return dataclasses.replace(made, predictions=kept, seeds=seeds)


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_few_seeds_give_a_warning(n_seeds):
    results = results_of({"baseline": 1.2, "better": 1.7}, n_seeds)
    said = "With fewer than 5 seeds, false alarms can exceed 5%."
    table = compare.results_table([judge(results)])
    pairs = compare.pairs_table([judge(results)])
    assert (said in table) == (said in pairs) == (n_seeds < 5)


def test_one_net_alone():
    alone = judge(results_of({"baseline": 1.2}))
    assert "nothing to compare" in compare.pairs_table([alone])
    figure = charts.ranking([alone])
    assert "95% interval" in figure.get_supxlabel()


def test_the_ranking_is_in_order_of_accuracy(three):
    figure = charts.ranking([judge(three)])
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == three.by_accuracy
    assert names[0] == "better" and axes.yaxis_inverted()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    word = judge(three).vs_baseline["alike"].word
    assert legend == ["baseline", "better than baseline", charts.LEGEND[word]]
    title = "1 net is better than the baseline, 0 worse"
    assert axes.get_title(loc="left") == title
    assert png(figure)[:4] == b"\x89PNG"


def test_the_colours_are_those_of_the_words():
    made = results_of({"baseline": 1.2, "better": 1.7, "worse": 0.8, "same": 1.2}, 5, 3)
    words = {name: verdict.word for name, verdict in judge(made).vs_baseline.items()}
    assert words == {"better": "better", "worse": "worse", "same": "the same"}
    axes = charts.ranking([judge(made)]).axes[0]
    for i, name in enumerate(made.by_accuracy):
        [dot] = [x for x in axes.lines if x.get_marker() == "o" and [*x.get_ydata()] == [i]]
        state = words.get(name, "baseline")
        assert dot.get_color() == charts.STATES[state]
        assert (dot.get_markerfacecolor() == "white") == (state == "the same")


@pytest.mark.parametrize(
    ("n_seeds", "said"),
    [
        (1, "One seed cannot show which differences are real."),
        (2, "There are no verdicts, because they need 3 seeds per net."),
    ],
)
def test_with_few_seeds_there_are_only_numbers(n_seeds, said):
    few = results_of({"baseline": 1.2, "better": 1.7}, n_seeds)
    assert judge(few).vs_baseline == {} and judge(few).pairs == []
    table = compare.results_table([judge(few)])
    assert row(table, "better")[5] == "–"
    has_interval = row(table.partition("## More numbers")[2], "better")[3] != "–"
    assert has_interval == (n_seeds == 2)
    assert said in table and said in compare.pairs_table([judge(few)])
    assert "Cannot tell" not in table


def test_the_ranking_of_one_seed():
    figure = charts.ranking([judge(results_of({"baseline": 1.2, "better": 1.7}, 1))])
    assert figure.axes[0].get_title(loc="left").startswith("One seed cannot show which")
    assert figure.get_supxlabel() == "test accuracy of one seed"


def test_the_vote_of_all_seeds():
    made = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=3)
    predictions = made.predictions["baseline"]
    n_right = sum(predictions[f"seed_{s}"] == predictions["label"] for s in range(3))
    assert made.votes["baseline"] == pytest.approx((n_right >= 2).mean())
    table = compare.results_table([judge(made)]).partition("## More numbers")[2]
    assert row(table, "baseline")[4] == f"{made.votes['baseline']:.1%}"
    assert "vote of all seeds" not in compare.results_table([judge(in_folds({"a": 1.2}))])


def test_a_tied_vote_is_a_guess():
    predictions = pd.DataFrame(
        {"label": [0, 0, 1, 2], "seed_0": [0, 0, 1, 0], "seed_1": [0, 1, 0, 1]}
    )
    assert vote_accuracy(predictions) == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)


def test_the_same_bytes_again(three):
    first, second = (png(charts.ranking([judge(three)])) for _ in range(2))
    assert first == second


def test_a_net_that_learned_nothing_is_named():
    made = results_of({"baseline": 1.2, "dead": 1.2, "better": 1.7}, n_seeds=5)
    made.predictions["dead"]["seed_1"] = made.predictions["dead"]["seed_4"] = 1
    assert made.stuck == {"dead": [1, 4]}
    said = "With seeds 1, 4, dead predicts the same class for every image: it learned"
    assert said in compare.results_table([judge(made)])
    assert said in compare.pairs_table([judge(made)])


def test_rows_in_folds():
    made = in_folds({"baseline": 1.2, "better": 1.7, "alike": 1.2})
    tested = judge(made).vs_baseline
    assert tested["better"].word == "better" and not tested["alike"].is_difference
    text = compare.results_table([judge(made)])
    assert row(text, "better")[5].startswith("better by ")
    assert (
        "a different sixth of the images and trained on the rest (2,000 test images" in text
    )
    assert "(2,000 test images in all)" in text
    numbers = text.partition("## More numbers")[2]
    assert row(numbers, "baseline")[4] == "87.7%"  # .8765 on the official test images
    found = made.scatters["baseline"]
    shown = [float(number) for number in row(numbers, "baseline")[5:7]]
    assert shown == pytest.approx([100 * found.folds, 100 * found.images], abs=0.005)
    assert len(judge(made).pairs) == 3
    wide, narrow = (i.intervals["baseline"] for i in (made, results_of({"baseline": 1.2})))
    assert wide.low < made.correct["baseline"].mean() < wide.high
    assert narrow.low != wide.low


def test_a_row_that_does_not_cover_all_folds_has_no_verdict():
    made = in_folds({"baseline": 1.2, "better": 1.7, "partly": 1.7})
    partly = made.predictions["partly"]
    kept = partly[partly["fold"] < 2].drop(columns=[f"seed_{k}" for k in range(2, 6)])
    made.predictions["partly"] = kept.reset_index(drop=True)
    assert list(judge(made).vs_baseline) == ["better"] and list(made.intervals) == [
        "baseline",
        "better",
    ]
    text = compare.results_table([judge(made)])
    assert row(text, "partly")[5] == "–"
    assert "partly covers 2 of 6 folds, so there is no verdict." in text
    assert "| partly |" not in compare.pairs_table([judge(made)])
    [pair] = judge(made).pairs
    assert {pair.first, pair.second} == {"baseline", "better"}


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
    text = compare.results_table([judge(held_out)])
    assert "on 2,000 held-out training images" in text
    assert "on 2,000 test images" in compare.results_table([judge(three)])
    for made, label in (
        (held_out, "accuracy on held-out training images"),
        (three, "test accuracy"),
    ):
        assert charts.ranking([judge(made)]).get_supxlabel().startswith(f"{label}: each")
        _, legend = charts.accuracy_comparison(made, 2).axes[0].get_legend_handles_labels()
        assert made.tested_on in legend


def test_the_chart_shows_what_guessing_gives(three):
    axes = charts.accuracy_comparison(three, 10).axes[0]
    assert axes.get_title(loc="left").endswith("; guessing gives 10%")
    assert [*axes.lines[-1].get_ydata()] == [0.1, 0.1]


def test_other_nets_have_a_table_of_their_own(three):
    """So the first table, which the README shows, and the ranking stay as they are."""
    hill = results_of({"baseline": 1.2, "flat": 1.25, "steep": 1.7}, recipe="hill")
    own = {n: dataclasses.replace(row, own_table="hill") for n, row in hill.rows.items()}
    hill = dataclasses.replace(hill, rows=own)
    alone = results_of({"lonely": 1.7}, recipe="alone")
    # A recipe for one of the nets, and for others, is beside, however many they are.
    folds = in_folds({"better": 1.7, "x": 1.2, "y": 1.2, "z": 1.2})
    comparisons = [judge(results) for results in (three, hill, alone, folds)]
    beside, others = compare.split_tables(comparisons)
    assert [each.results.table for each in beside] == ["train", "annealed"]
    assert [each.results.table for each in others] == ["hill", "alone"]
    first, *rest = compare.results_table(comparisons).split("\n## ")
    together = compare.results_table([comparisons[0], comparisons[3]])
    assert first == together.partition("\n## ")[0]
    assert rest[0].startswith("Hill\n") and row(rest[0], "steep")[3].startswith("better by")
    # There is nothing to compare a single net with.
    assert rest[1].startswith("Alone\n") and len(row(rest[1], "lonely")) == 3
    assert rest[2].startswith("More numbers") and rest[2].count("| steep |") == 1


def test_two_recipes_side_by_side(three):
    families = [three, in_folds({"better": 1.7, "baseline": 1.2, "other": 1.2})]
    comparisons = [judge(results) for results in families]
    text = compare.results_table(comparisons)
    better, alike, other = (row(text, name) for name in ("better", "alike", "other"))
    assert better[5].startswith("better") and better[7].startswith("better")
    assert alike[6:] == ["–", "–"] and other[4:6] == ["–", "–"]
    assert "- Chapter: the mean of 3" in text and "- Annealed: the mean of 6" in text
    pairs = compare.pairs_table(comparisons)
    assert pairs.index("## Chapter") < pairs.index("## Annealed")
    figure = charts.ranking(comparisons)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "chapter: 1 better, 0 worse", "annealed: 1 better, 0 worse"
    ]  # fmt: skip
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[0] == "better" and set(names) == {*three.names, "other"}
    curves = charts.loss_curves(families)
    assert [axes.get_title(loc="left") for axes in curves.axes] == [*three.names, "other"]


def test_results_can_be_merged(three):
    new = results_of({"better": 1.2, "mine": 1.7}, seed=5)
    new.rows["better"] = dataclasses.replace(new.rows["better"], name="better_again")
    both = merged(three, new)
    assert both.names == ["baseline", "better", "alike", "better_again", "mine"]
    assert both.predictions["better_again"] is new.predictions["better"]
    new.predictions["mine"] = new.predictions["mine"][:-1]
    with pytest.raises(UserError, match="not the same images"):
        merged(three, new)
