"""The study of depth: it chooses rates, answers for every outcome, and loses no run."""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmark import params, pool
from benchmark.running import finished, workers
from benchmark.running.errors import UserError
from benchmark.stats.verdicts import format_percent
from benchmark.training import plan
from studies import trainings
from studies.depth import __main__ as study
from studies.depth import folds, hundred
from studies.depth.compare import Comparison
from studies.depth.folds import DEPTHS, GRID, Depth, name_of
from studies.depth.page import fits_worse, page
from studies.depth.picture import chart
from tests.conftest import COMMITTED, ROOT, edit_params

MACHINE = {"processor": "CPU", "cpu_capability": "AVX2", "torch": "2"}
FOLDS, IMAGES = 6, 400


def record(blocks, rate, seed, accuracy=0.9, images=IMAGES):
    wrong = list(range(round(images * (1 - accuracy))))
    return {
        "net": name_of(blocks), "lr": rate, "seed": seed, "wrong": wrong,
        "images": images, "loss": 0.1, "environment": MACHINE,
    }  # fmt: skip


def depth(blocks, accuracy, dead=0, seed=0):
    """An invented depth: the same images are hard for all, and `dead` runs only guess."""
    hard = np.random.default_rng(0).random((FOLDS, IMAGES))
    noise = np.random.default_rng(blocks + seed).normal(0, 0.02, hard.shape)
    correct = (hard + noise < accuracy).astype(float)
    correct[:dead] = np.arange(IMAGES) % 2
    return Depth(blocks, 0.01, correct, np.full(FOLDS, 0.1))


def compared(*depths):
    return Comparison(depths, chance=0.5, margin=0.01)


def choose(accuracy_of, limit=100, at_once=None):
    """Choose rates as the study does; return the best ones, and the runs that it took.

    at_once: how many runs finish before an interruption, the last ones; None for all.
    """
    records = []
    while runs := folds.missing(records):
        for (name, rate), seed in runs[-(at_once or len(runs)) :]:
            blocks = int(name.split()[0])
            records.append(record(blocks, rate, seed, accuracy_of(blocks, rate, seed)))
        records.sort(key=lambda r: r["seed"])
        assert len(records) <= limit
    return folds.best_rates(records), records


@pytest.mark.parametrize("at_once", [None, 1])
def test_the_best_rate_is_found_wherever_it_is(at_once):
    best_index = dict(zip(DEPTHS, (8, 7, 6, 5, 3, 1, 0), strict=True))

    def accuracy(blocks, rate, _seed):
        return 0.9 - 0.01 * abs(GRID.index(rate) - best_index[blocks])

    best, records = choose(accuracy, at_once=at_once)
    assert best == {n: GRID[i] for n, i in best_index.items()}
    runs = folds.accuracies(records)
    assert all(len(runs[n][rate]) == folds.SEEDS_OF_BEST for n, rate in best.items())


def test_a_rate_that_worked_by_luck_loses_its_place():
    def accuracy(blocks, rate, seed):
        if rate == folds.FIRST[blocks]:
            return 0.92 if seed == 0 else 0.5
        return 0.9 if rate < folds.FIRST[blocks] else 0.88

    best, _ = choose(accuracy)
    assert all(rate < folds.FIRST[n] for n, rate in best.items())


DEAD = r"with 2 blocks, 1 of 6 runs learns nothing"


@pytest.mark.parametrize(
    ("depths", "answer", "enough"),
    [
        ([depth(1, 0.9), depth(2, 0.8), depth(5, 0.8)],
         r"No: 2 and 5 blocks are worse than 1 block\.", 1),
        ([depth(1, 0.9), depth(2, 0.9)],
         r"No: 2 blocks are the same as 1 block\.", 1),
        ([depth(1, 0.9), depth(2, 0.902), depth(5, 0.8)],
         r"We saw no clear gain: 5 blocks are worse than 1 block; "
         r"for 2, we cannot tell\.", 1),
        ([depth(1, 0.8), depth(2, 0.9), depth(5, 0.9)],
         r"Yes, up to 2 blocks: that is \d+\.\d points better than 1 block "
         r"\(.* to .*\); no deeper net is clearly better than that\.", 2),
        ([depth(1, 0.8), depth(2, 0.9), depth(5, 0.8), depth(10, 0.7)],
         r"Yes, up to 2 .* than that; 5 and 10 blocks are worse than 2 blocks\.", 2),
        ([depth(1, 0.7), depth(2, 0.8), depth(5, 0.9)],
         r"Yes, up to 5 blocks: [^;]*\.", 5),
        ([depth(1, 0.8), depth(2, 0.9), depth(5, 0.9), depth(10, 0.9, dead=2)],
         r"Yes, up to 2 .*; with 10 blocks, 2 of 6 runs learn nothing\.", 2),
        ([depth(1, 0.9), depth(2, 0.9, dead=1)], rf"These runs cannot say: {DEAD}\.", 1),
        ([depth(2, 0.9, dead=1)], rf"These runs cannot say: {DEAD}\.", None),
    ],
)  # fmt: skip
def test_the_answer_covers_every_outcome(depths, answer, enough):
    comparison = compared(*depths)
    assert re.fullmatch(answer, comparison.answer())
    assert comparison.enough == enough


def test_a_depth_that_does_not_help_is_never_recommended():
    """Each step is too small to be seen; together, they are not."""
    depths = [depth(n, 0.88 + 0.004 * i) for i, n in enumerate(DEPTHS)]
    comparison = compared(*depths)
    assert comparison.better_than(1) and comparison.enough in comparison.better_than(1)


def test_no_claim_that_a_verdict_contradicts():
    """2 blocks beat 1, and 5 beat 2, but 5 do not beat 1: possible, and rare."""
    comparison = compared(depth(1, 0.7), depth(2, 0.8), depth(5, 0.9))
    no_better = compared(depth(1, 0.9), depth(5, 0.902)).verdict(5, 1)
    assert not no_better.is_difference
    comparison.__dict__["pairs"] = {**comparison.pairs, (5, 1): no_better}
    assert comparison.enough == 2
    assert re.fullmatch(r"Yes, up to 2 blocks: [^;]*\.", comparison.answer())


def test_a_dead_run_does_not_widen_the_intervals_of_other_depths():
    others = [depth(1, 0.8), depth(2, 0.9), depth(5, 0.9)]
    alone = compared(*others).verdict(2, 1).interval
    assert compared(*others, depth(10, 0.9, dead=2)).verdict(2, 1).interval == alone


@pytest.fixture
def invented():
    depths = [depth(n, 0.85 + 0.01 * i) for i, n in enumerate(DEPTHS[:-1])]
    comparison = compared(*depths, depth(100, 0.9, dead=2))
    _, rates = choose(lambda *_: 0.9)
    epochs = [
        {"epoch": e, "loss": 0.1, "accuracy": 0.5 + e / 1000,
         "accuracy_in_train_mode": 0.8}
        for e in range(10, 101, 10)
    ]  # fmt: skip
    scores = {"loss": 0.1, "val_accuracy": 0.87, "last_epochs": [0.5, 0.87]}
    scores["val_accuracy_in_eval_mode"] = 0.5
    runs = [
        {"seed": seed, "environment": MACHINE, "epochs": epochs, "final": scores}
        for seed in (0, 1, 0)
    ]
    return comparison, rates, runs


def test_the_page_has_every_depth_and_says_which_runs_failed(invented):
    comparison, rates, runs = invented
    times = {"environment": MACHINE, "seconds": {str(n): 60.0 * n for n in DEPTHS}}
    text = page(
        params.load(ROOT / "params.yaml"), comparison, rates, rates, runs,
        times=times, parameters=dict.fromkeys(DEPTHS, 1234), published=0.8765,
    )  # fmt: skip
    assert f"**{comparison.answer()}**" in text
    for n in DEPTHS:
        [row] = re.findall(rf"^\| {n} \| 1,234 .*$", text, re.MULTILINE)
        assert ("2 of 6 runs learned nothing" in row) == (n == 100)
        folds = next(d for d in comparison.depths if d.blocks == n).correct.mean(axis=1)
        assert f"| {format_percent(folds.min())} to {format_percent(folds.max())} |" in row
    assert text.count("its accuracy ranges from 50.0% to 87.0%") == 2
    assert "prints 87.7%" in text
    assert "\n\n\n\n" not in text
    chart_of = chart(comparison, runs)
    assert [axes.get_xlabel() for axes in chart_of.axes] == ["residual blocks", "epoch"]


@pytest.mark.parametrize(
    ("accuracies", "losses", "expected"),
    [
        ((0.9, 0.9, 0.8), (0.1, 0.2, 0.3), True),
        ((0.9, 0.9, 0.8), (0.1, 0.3, 0.2), False),
        ((0.9, 0.9, 0.8), (0.1, 0.2, np.nan), False),
        ((0.9, 0.9, 0.9), (0.1, 0.2, 0.3), False),
        ((0.8, 0.85, 0.9), (0.1, 0.2, 0.3), False),
    ],
)
def test_depth_is_called_hard_to_train_only_if_it_is(accuracies, losses, expected):
    depths = [
        depth(n, accuracy)._replace(losses=np.full(FOLDS, loss))
        for n, accuracy, loss in zip((1, 2, 5), accuracies, losses, strict=True)
    ]
    assert fits_worse(compared(*depths)) == expected


def test_times_are_measured_again_if_the_params_changed(small_data):
    def load():
        return params.load().model_copy(update={"rows": COMMITTED.rows})

    loaded = load()
    read_times = partial(study.read_times, best={1: 0.02, 2: 0.02})
    study.TIMES.parent.mkdir(parents=True)
    first = read_times(loaded)
    assert first["seconds"].keys() == {"1", "2"} and min(first["seconds"].values()) > 0
    assert read_times(loaded) == first == json.loads(study.TIMES.read_text("utf-8"))
    edit_params(small_data, {"annealed.epochs": 4})
    assert read_times(load())["hashes"] != first["hashes"]


@pytest.fixture
def few_epochs(small_data, monkeypatch):
    shutil.copytree(ROOT / "notebook", small_data / "notebook")
    for name, value in {"BLOCKS": 2, "EPOCHS": 4, "EVERY": 2, "SEEDS": 1}.items():
        monkeypatch.setattr(hundred, name, value)
    return params.load()


def test_recording_changes_no_byte_and_the_pipeline_finds_the_cell(few_epochs):
    [cell] = hundred.corrected(few_epochs)
    [plain] = pool.train([cell])
    cell.stem.with_suffix(finished.FINISHED).unlink()
    final = hundred.train_and_record(cell)
    assert plan.result_of(cell) == plain
    assert final["val_accuracy"] == plain["val_accuracies"][-1]
    entries = hundred.read(cell)["epochs"]
    assert [entry["epoch"] for entry in entries] == [2, 4]
    assert [entry["accuracy"] for entry in entries] == plain["val_accuracies"][1::2]
    assert [entry["loss"] for entry in entries] == plain["losses"][1::2]
    changes = {"model.n_blocks": 2, "train.epochs": 4, "rows.res_deep.precision": "bf16"}
    edit_params(Path(), changes)  # as `dvc exp run` does
    assert plan.cells(params.load(), "res_deep")[0].stem == cell.stem


def test_the_net_as_printed_is_scored_both_ways(few_epochs):
    cell = hundred.as_printed(few_epochs)
    final = hundred.train_and_record(cell)
    *_, last = hundred.read(cell)["epochs"]
    assert final["val_accuracy"] == last["accuracy_in_train_mode"]
    assert final["val_accuracy_in_eval_mode"] == last["accuracy"]


def test_all_runs_are_trained_once_and_keep_their_records(few_epochs, capsys):
    first = hundred.train(few_epochs)
    assert "2 training runs" in capsys.readouterr().err
    assert [r["epochs"][-1]["epoch"] for r in first] == [4, 4]
    assert hundred.train(few_epochs) == first
    assert capsys.readouterr().err == ""
    assert not list(Path("checkpoints").glob("*.pt"))


@pytest.mark.parametrize("left", ["nothing", "a checkpoint", "the finished cell"])
def test_a_run_without_a_complete_record_starts_over(few_epochs, capsys, left):
    first = hundred.train(few_epochs)
    [cell] = hundred.corrected(few_epochs)
    begun = {"seed": 0, "environment": MACHINE, "epochs": first[0]["epochs"][:1]}
    hundred.write(cell, begun)
    if left != "the finished cell":
        cell.stem.with_suffix(finished.FINISHED).unlink()
    if left == "a checkpoint":
        hundred.fit(cell)
        hundred.write(cell, {**begun, "epochs": []})
    capsys.readouterr()
    assert hundred.train(few_epochs) == first
    assert "corrected seed 0: the accuracies of its former run" in capsys.readouterr().err


def test_a_kill_while_an_accuracy_is_recorded_costs_no_epoch(few_epochs, capsys):
    first = hundred.train(few_epochs)
    [cell] = hundred.corrected(few_epochs)
    cell.stem.with_suffix(finished.FINISHED).unlink()
    hundred.write(cell, {})
    hundred.fit(cell)  # leaves its last checkpoint
    begun = {"seed": 0, "environment": first[0]["environment"]}
    hundred.write(cell, {**begun, "epochs": first[0]["epochs"][:-1]})
    capsys.readouterr()
    assert hundred.train(few_epochs) == first
    said = capsys.readouterr().err
    assert "resumes after epoch 4/4" in said and "starts over" not in said


def test_a_cluster_is_refused(few_epochs, monkeypatch):
    monkeypatch.setenv(workers.SCHEDULER, "tcp://127.0.0.1:1")
    with pytest.raises(UserError, match="cannot run on a cluster"):
        hundred.train(few_epochs)


def test_a_record_of_another_net_does_not_count(few_epochs, small_data):
    [cell] = hundred.corrected(few_epochs)
    hundred.write(cell, {"final": {}})
    assert hundred.read(cell)
    file = small_data / "architectures/res_deep.py"
    file.write_text(file.read_text() + "\n# changed\n")
    assert hundred.read(cell) == {}


def test_rates_and_folds_are_trained_and_kept(small_data, monkeypatch):
    monkeypatch.setattr(folds, "DEPTHS", (1, 2))
    monkeypatch.setattr(folds, "GRID", (0.01, 0.02, 0.04))
    monkeypatch.setattr(folds, "FIRST", {1: 0.02, 2: 0.02})
    row = {"net": "res_deep", "recipe": "annealed", "sized_by": "model"}
    edit_params(small_data, {f"rows.{folds.ROW}": row})
    loaded = params.load()
    rates, tested = folds.train(loaded)
    best = folds.best_rates(rates)
    found = folds.depths(tested, best)
    assert [each.correct.shape for each in found] == [(4, 4)] * 2
    assert json.loads(folds.FOLDS.read_text()) == tested
    assert folds.train(loaded) == (rates, tested)
    row = folds.variant(loaded, 2, best[2], "folds")
    assert row.training.precision == folds.PRECISION and row.settings["n_blocks"] == 2
    # Another net's file makes the records useless.
    file = small_data / "architectures/res_deep.py"
    file.write_text(file.read_text() + "\n# changed\n")
    key = (name_of(2), best[2])
    assert trainings.read(folds.FOLDS, {key: row}, loaded.data) == []
