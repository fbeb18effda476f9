"""The ladder from the chapter's baseline to modern: docs/ladder.md."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from benchmark import params
from benchmark.reporting.results import Results
from benchmark.running.errors import UserError
from benchmark.stats.folds import fold_differences
from benchmark.stats.verdicts import format_percent
from studies import ladder, trainings
from tests.conftest import COMMITTED, MACHINE

N_IMAGES = 6000
ROWS = {name: params.row_of(COMMITTED, name) for name in COMMITTED.rows}
TIMES = {
    "seconds": dict.fromkeys([*ROWS, ladder.IN_FP32], 60.0),
    "environment": MACHINE,
}
# What differs between a rung of the ladder and the one before it.
NAMED = {
    "annealed": {"lr", "epochs", "momentum", "nesterov", "schedule"},
    "normalized": {"net", "n_chans"},
    "wider": {"n_chans"},
    "deeper": {"net", "skip", "precision"},
    "skip": {"skip"},
    "augmented": {"flip", "crop"},
    "recipe": {"lr", "batch_size", "weight_decay", "warmup", "label_smoothing"},
    "flips": {"flip_at_test"},
    "modern": {"epochs"},
}


def values_of(label):
    row = ROWS[f"{label}_{ladder.TABLE}"]
    defaults = {"skip": True} if row.net == "modern" else {}
    values = {"net": row.net, **defaults, **row.training.model_dump(), **row.settings}
    del values["split"], values["seeds"]  # all rungs have the same
    return values


def test_the_ladder_has_a_row_for_every_step_and_no_other():
    labels = [row.label for row in ROWS.values() if row.table == ladder.TABLE]
    assert labels == list(ladder.STEPS)
    assert all(ROWS[f"{label}_ladder"].training.split == "folds" for label in labels)


@pytest.mark.parametrize(("before", "after"), list(pairwise(ladder.STEPS)))
def test_a_step_changes_only_what_it_names(before, after):
    old, new = values_of(before), values_of(after)
    assert {k for k in old | new if new.get(k) != old.get(k)} == NAMED[after]
    rows = [ROWS[f"{label}_{ladder.TABLE}"] for label in (before, after)]
    shown = ladder.new_settings(*rows).split(", ")
    assert {each.split()[0] for each in shown} == NAMED[after]


def test_the_ladder_starts_with_the_chapters_baseline_and_ends_with_modern():
    start, top = ROWS["baseline_ladder"], ROWS["modern_ladder"]
    folds = {"split": "folds", "seeds": 6}
    same = ROWS["baseline"].training.model_copy(update=folds)
    assert (start.net, start.settings, start.training) == ("baseline", {}, same)
    modern = ROWS["modern"]
    same = modern.training.model_copy(update=folds)
    assert (top.net, top.settings, top.training) == (modern.net, modern.settings, same)


def results(rows, accuracies, n_folds=6, seed=0):
    """Invented results of these rows, in folds or on the official test images."""
    generator = np.random.default_rng(seed)
    hard = generator.random(N_IMAGES)
    predictions, seeds = {}, {}
    for label, accuracy in zip(rows, accuracies, strict=True):
        table = pd.DataFrame({"example": range(N_IMAGES), "label": 0})
        if n_folds:
            table["fold"] = np.arange(N_IMAGES) % n_folds
        for k in range(6):
            answers = (hard + generator.normal(0, 0.0002, N_IMAGES) > accuracy).astype(
                float
            )
            table[f"seed_{k}"] = (
                np.where(table["fold"] == k, answers, np.nan) if n_folds else answers
            )
        predictions[label] = table
        shown = table.filter(like="seed_")
        seeds[label] = pd.DataFrame(
            {
                "seed": range(6),
                "val_accuracy": [(shown[c].dropna() == 0).mean() for c in shown],
            }
        )
    metrics = {
        label: {"val_accuracy": seeds[label]["val_accuracy"].mean(), "n_folds": n_folds}
        for label in rows
    }
    curves = {label: pd.DataFrame({"epoch": [1], "loss": [0.1]}) for label in rows}
    first = next(iter(rows.values()))
    return Results(first.table, rows, metrics, seeds, curves, predictions, ladder.MARGIN)


def ladder_page(accuracies):
    rows = {label: ROWS[f"{label}_ladder"] for label in ladder.STEPS}
    return ladder.page([results(rows, accuracies), *OTHERS], TIMES)


OTHERS = [
    results({"modern": ROWS["modern"]}, [0.97], n_folds=0),
    results({"baseline": ROWS["baseline_annealed"]}, [0.917]),
]


BOOK = OTHERS[1].metrics["baseline"]["val_accuracy"]


def test_the_page_tells_steps_that_help_from_noise():
    accuracies = [0.8, 0.8, 0.85, 0.85, 0.9, 0.9, 0.9, 0.9, 0.9, 0.96]
    text = " ".join(ladder_page(accuracies).split())
    assert f"the best net of the book reaches {format_percent(BOOK)}" in text
    assert "**Better than the step before: normalized, deeper, modern.**" in text
    assert "The same: skip, augmented, recipe, flips." in text
    assert "We cannot tell: annealed, wider." in text  # 0 points, but with more noise
    assert "Worse: " not in text
    assert "| annealed | momentum, and a higher learning rate that falls to 0;" in text
    assert "| lr 0.02, epochs 20, momentum 0.9, nesterov true, schedule linear |" in text


def test_the_page_says_which_steps_harm():
    text = " ".join(ladder_page([0.9] + 9 * [0.8]).split())
    assert "**No step is clearly better than the one before.** The same: " in text
    assert "Worse: annealed. | step" in text


def test_a_missing_rung_is_one_line():
    rows = {label: ROWS[f"{label}_ladder"] for label in list(ladder.STEPS)[1:]}
    with pytest.raises(
        UserError, match=r"rows\.baseline_ladder: missing, or not tested in"
    ):
        ladder.page([results(rows, [0.9] * 9), *OTHERS], TIMES)


def test_rungs_on_the_official_test_images_are_one_line():
    rows = {label: ROWS[f"{label}_ladder"] for label in ladder.STEPS}
    with pytest.raises(
        UserError, match=r"rows\.baseline_ladder: .*not tested in all folds"
    ):
        ladder.page([results(rows, [0.9] * 10, n_folds=0), *OTHERS], TIMES)


def test_the_ladder_is_called_a_table_and_not_a_recipe():
    rows = {label: ROWS[f"{label}_ladder"] for label in ladder.STEPS}
    assert results(rows, [0.9] * 10).in_words == "ladder table"
    assert [each.in_words for each in OTHERS] == ["modern recipe", "annealed recipe"]


def test_other_rows_in_the_tables_change_nothing():
    """Of a contributor: one with the recipe of modern, and one with the annealed recipe."""
    rows = {label: ROWS[f"{label}_ladder"] for label in ladder.STEPS}
    found = results(rows, np.linspace(0.8, 0.9, len(rows)))
    mine = replace(ROWS["baseline_annealed"], name="mine", net="modern")
    more = [
        results({"modern": ROWS["modern"], "mine": mine}, [0.97, 0.5], n_folds=0),
        results({"baseline": ROWS["baseline_annealed"], "mine": mine}, [0.917, 0.99]),
    ]
    assert ladder.page([found, *more], TIMES) == ladder.page([found, *OTHERS], TIMES)


def test_the_settings_of_a_step_do_not_depend_on_the_order_of_the_rows():
    labels = [*reversed(ladder.STEPS)]
    rows = {label: ROWS[f"{label}_ladder"] for label in labels}
    found = results(rows, [0.9] * 10)
    ordered = found.only(list(ladder.STEPS))
    assert ladder.page([found, *OTHERS], TIMES) == ladder.page([ordered, *OTHERS], TIMES)


@pytest.mark.parametrize("n", [0, 2])
def test_a_table_that_is_missing_or_split_is_one_line(n):
    with pytest.raises(UserError, match="needs rows with table modern, all with one split"):
        ladder.the_family(OTHERS[:1] * n, "modern")


def test_rungs_with_the_same_models_must_have_them():
    rows = {label: ROWS[f"{label}_ladder"] for label in ladder.STEPS}
    found = results(rows, [0.9] * 10)
    found.curves["flips"]["loss"] += 1e-6
    with pytest.raises(UserError, match="flips_ladder: its models are not those of recipe"):
        ladder.page([found, *OTHERS], TIMES)


def test_steps_with_the_same_models_enter_one_at_a_time():
    steps = set(ladder.STEPS)
    assert ladder.alike(("flips", "recipe")) == ["flips", "recipe"]
    assert set(ladder.alike(("modern", "flips"))) == steps - {"recipe"}
    assert set(ladder.alike(("recipe", "augmented"))) == steps - {"flips"}
    found = results({label: ROWS[f"{label}_ladder"] for label in steps}, [0.9] * 10)
    estimate = {verdict.first: verdict.estimate for verdict in ladder.compare(found)}
    both = {name: found.correct[name] for name in ("flips", "recipe")}
    [alone] = fold_differences(both, found.folds, [("flips", "recipe")])
    assert estimate["flips"].variance == alone.variance


def test_the_chart_names_every_rung(monkeypatch):
    rows = {label: ROWS[f"{label}_ladder"] for label in ladder.STEPS}
    families = [
        results(rows, np.linspace(0.8, 0.9, len(rows))),
        results({"modern": ROWS["modern"]}, [0.97], n_folds=0),
    ]
    seconds = {name: 60.0 + i for i, name in enumerate(ROWS)}
    del seconds["modern"]  # was not measured
    [axes] = ladder.chart(families, seconds).axes
    assert [text.get_text() for text in axes.texts] == list(ladder.STEPS)
    legend = axes.get_legend_handles_labels()[1]
    assert legend[:2] == ["ladder, 6 folds", "modern, official test images"]
    [front] = [line for line in axes.lines if line.get_label().startswith("Pareto front")]
    assert 0.97 not in front.get_ydata()  # modern was not tested in folds
    assert front.get_ydata()[-1] == families[0].metrics["modern"]["val_accuracy"]


def test_a_vote_of_equal_models_is_worth_nothing():
    top = results({"modern": ROWS["modern"]}, [0.97], n_folds=0)
    answers = top.predictions["modern"]
    for k in range(6):
        answers[f"seed_{k}"] = answers["seed_0"]
    assert ladder.vote_of(top).mean == 0


def test_a_vote_repairs_errors_that_few_models_make():
    top = results({"modern": ROWS["modern"]}, [0.97], n_folds=0)
    answers = top.predictions["modern"]
    for k in range(6):  # each model is wrong on images of its own
        answers[f"seed_{k}"] = (np.arange(N_IMAGES) % 60 == k).astype(float)
    vote = ladder.vote_of(top)
    assert top.votes == {"modern": 1} and vote.mean == pytest.approx(1 / 60)
    assert 0 < vote.interval().low < vote.mean < vote.interval().high


def test_one_model_cannot_vote():
    top = results({"modern": ROWS["modern"]}, [0.97], n_folds=0)
    alone = replace(top, seeds={"modern": top.seeds["modern"][:1]})
    with pytest.raises(UserError, match="the vote needs split: official, and two seeds"):
        ladder.vote_of(alone)


def test_a_row_that_was_not_measured_with_its_params_has_no_time(small_data, capsys):
    loaded = params.load()
    rows = ladder.rows_to_time(loaded)
    assert rows[ladder.IN_FP32].training.precision == "fp32"
    with pytest.raises(
        UserError, match=r"ladder_times.json: missing; measure .* --measure"
    ):
        ladder.read_times(rows, loaded.data)
    few = {name: rows[name] for name in ("modern", ladder.IN_FP32)}
    trainings.write_times(ladder.TIMES, few, loaded)
    found = ladder.read_times(few, loaded.data)
    assert found["seconds"].keys() == few.keys() and min(found["seconds"].values()) > 0
    capsys.readouterr()
    assert ladder.read_times(few | {"first": rows["first"]}, loaded.data) == found
    assert (
        "first: not measured with its params and its net; measure on"
        in capsys.readouterr().err
    )
    longer = rows["modern"].training.model_copy(update={"epochs": 9})
    few["modern"] = replace(rows["modern"], training=longer)
    with pytest.raises(UserError, match="modern: not measured with its params and"):
        ladder.read_times(few, loaded.data)
