"""The choice of modern's recipe on held-out images."""

import json
from dataclasses import replace

import pytest

from benchmark import params
from benchmark.data import dataset
from benchmark.running.errors import UserError
from benchmark.training import cell as training
from benchmark.training import recipe, scoring, state_dict
from studies import trainings, tuning_modern
from tests.conftest import COMMITTED, MACHINE, ROOT, edit_params

LR = dict(map(tuning_modern.key_of, tuning_modern.every_candidate()))


def record(name, seed, accuracy, on_test):
    return {
        "net": name, "lr": LR[name], "seed": seed, "images": 1000,
        "wrong": list(range(round(1000 * (1 - accuracy)))), "loss": 0.1,
        "environment": MACHINE, tuning_modern.ON_TEST: on_test,
    }  # fmt: skip


def choose(score, n_seeds=2):
    """Choose a recipe with invented scores; return the records that it took."""
    records = []
    while runs := tuning_modern.missing(records, n_seeds):
        for (name, _), seed in runs:
            records.append(record(name, seed, score(name), 0.9))
        assert len(records) < 50
    return records


def chosen(records):
    scores = tuning_modern.held_out(records)
    *_, last = tuning_modern.parts(scores)
    return tuning_modern.name_of(last.best(scores))


def test_each_part_builds_on_the_best_of_those_before_it():
    good = {
        "n_chans 48": 0.01,
        "epochs 51": 0.0,
        "cutout 8": 0.02,
        "weight_decay 0.002": 0.01,
    }
    records = choose(lambda name: 0.9 + sum(v for k, v in good.items() if k in name))
    assert chosen(records) == "n_chans 48, epochs 51, weight_decay 0.002, cutout 8"
    n_candidates = 1 + sum(map(len, tuning_modern.PARTS.values()))
    assert len(records) == 2 * n_candidates
    assert {r["seed"] for r in records} == {0, 1}


def test_a_gain_that_may_be_noise_changes_nothing():
    assert chosen(choose(lambda _: 0.9)) == "start"
    for gain, expected in ((0.002, "start"), (0.003, "cutout 8")):
        records = choose(lambda name, gain=gain: 0.9 + gain * ("cutout" in name))
        assert chosen(records) == expected


def test_more_seeds_train_only_what_is_missing():
    two = choose(lambda _: 0.9)
    runs = tuning_modern.missing(two, 3)
    assert {seed for _, seed in runs} == {2}


def test_a_candidate_that_diverged_counts_as_wrong():
    records = choose(lambda _: 0.9)
    for each in records:
        if each["net"] == "lr 0.2":
            del each[tuning_modern.ON_TEST]
    assert "| lr 0.2 | 90.0% | 0.0% |" in tuning_modern.page(records)


def test_a_diverged_seed_does_not_count_as_noise_between_seeds():
    records = choose(lambda _: 0.9)
    [first, *_] = (each for each in records if each["net"] == "lr 0.2")
    first["wrong"] = list(range(1000))
    text = " ".join(tuning_modern.page(records).split())
    assert "the standard deviation is 0.0 points on average" in text


def test_the_section_says_which_parts_changed_something():
    text = tuning_modern.page(choose(lambda _: 0.9))
    assert "No part changed anything. We chose **start**." in text
    records = choose(lambda name: 0.9 + 0.01 * ("cutout" in name or "lr 0.05" in name))
    text = tuning_modern.page(records)
    assert "The parts that changed something: learning rate." in text
    for each in records:
        each[tuning_modern.ON_TEST] = 0.96 if each["net"] == "lr 0.05" else 0.955
    assert "both choices agree" in tuning_modern.page(records)


def test_every_candidate_has_a_name_of_its_own():
    every = list(tuning_modern.every_candidate())
    assert len({tuning_modern.name_of(each) for each in every}) == len(every)


def test_another_recipe_in_the_params_is_refused(workplace):
    loaded = params.load()
    row = params.row_of(loaded, "modern")
    current = {
        key: (row.training.model_dump() | row.settings)[key] for key in tuning_modern.START
    }
    current["epochs"] //= tuning_modern.LONGER
    tuning_modern.refuse_other_recipe(loaded, current)
    with pytest.raises(
        UserError, match=r"modern: cutout is .*, but 7 is what the held-out"
    ):
        tuning_modern.refuse_other_recipe(loaded, current | {"cutout": 7})
    edit_params(workplace, {"rows.modern.epochs": 7})
    with pytest.raises(UserError, match="modern: epochs is 7, but"):
        tuning_modern.refuse_other_recipe(params.load(), current)


def test_the_section_says_what_a_choice_on_test_images_would_have_reported():
    records = choose(lambda name: 0.95 if name == "start" else 0.94)
    for each in records:
        each[tuning_modern.ON_TEST] = 0.96 if each["net"] == "cutout 8" else 0.955
    text = " ".join(tuning_modern.page(records).split())
    assert "We chose **start**" in text
    assert "we would have reported 96.0% (cutout 8)" in text
    assert "has 95.5% there. The difference of 0.50 points" in text
    assert "both choices agree" not in text


@pytest.fixture
def small_modern(small_data, monkeypatch):
    """A workplace in which modern is small, and has few candidates."""
    start = tuning_modern.START | {"n_chans": 2, "epochs": 1}
    monkeypatch.setattr(tuning_modern, "START", start)
    monkeypatch.setattr(tuning_modern, "PARTS", {"cutout": ({"cutout": 8},)})
    monkeypatch.setattr(tuning_modern, "NEEDED", 2)  # so start is chosen
    monkeypatch.setattr(tuning_modern, "LONGER", 1)
    monkeypatch.setattr(tuning_modern, "MEASURED", small_data / "tuning_modern.json")
    edit_params(small_data, {"rows.modern.n_chans": 2, "rows.modern.epochs": 1})
    return small_data


def test_candidates_are_trained_and_also_scored_on_test_images(small_modern, capsys):
    text = tuning_modern.section(params.load(), 2, 0.2)
    assert "## Which recipe for modern?" in text
    capsys.readouterr()
    assert tuning_modern.section(params.load(), 2, 0.2) == text
    assert capsys.readouterr().err == ""  # nothing is trained again
    data = dataset.load(COMMITTED.data.mean, COMMITTED.data.std)
    records = json.loads((small_modern / "tuning_modern.json").read_text())
    assert len(records) == 4
    assert {r["images"] for r in records} == {
        len(dataset.split(data, "official", 0, 0.2).val_labels)
    }
    row = params.row_of(params.load(), "modern")
    cell = trainings.cell_of(row, COMMITTED.data, 0)
    result = training.train_cell(replace(cell, stem=None))
    model = recipe.build_model(recipe.load_architecture("modern"), 2, row.settings)
    state_dict.load(model, result["model"], ROOT)
    expected = scoring.predict(model, data.normalized(data.val_images), flip=True)
    found = tuning_modern.on_test_images(cell, result)[tuning_modern.ON_TEST]
    assert found == scoring.accuracy(expected, data.val_labels)


def test_the_committed_page_and_row_are_those_of_the_committed_records():
    records = trainings.read_all(ROOT / tuning_modern.MEASURED)
    assert tuning_modern.page(records).strip() in (ROOT / "docs/tuning.md").read_text(
        "utf-8"
    )
    scores = tuning_modern.held_out(records)
    *_, last = tuning_modern.parts(scores)
    tuning_modern.refuse_other_recipe(COMMITTED, last.best(scores))
