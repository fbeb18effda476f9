"""The studies that train rows in variants: they resume, and know what is noise."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from benchmark import params, pool
from benchmark.running.errors import UserError
from benchmark.training import plan
from studies import recipes, same_net, trainings, tuning
from studies.depth import hundred
from tests.conftest import COMMITTED, edit_params

RATES = {0.01: 0.9, 0.02: 0.9}


def invented(accuracies, n_seeds=3, n_images=400, seed=0):
    """Invented answers of one net: by learning rate, seeds × images."""
    generator = np.random.default_rng(seed)
    return {
        rate: (generator.random((n_seeds, n_images)) < accuracy).astype(float)
        for rate, accuracy in accuracies.items()
    }


def test_records_are_kept_and_only_missing_seeds_are_trained(small_data, capsys):
    loaded = params.load()
    row = params.row_of(loaded, "baseline")
    variants = {("baseline", lr): tuning.with_rate(row, lr) for lr in RATES}
    path = small_data / "records.json"
    first = trainings.train(path, variants, loaded.data, range(1))
    assert "2 training runs" in capsys.readouterr().err
    both = trainings.train(path, variants, loaded.data, range(2))
    assert "2 training runs" in capsys.readouterr().err
    assert both[:2] == first and json.loads(path.read_text()) == both
    assert trainings.train(path, variants, loaded.data, range(2)) == both
    assert capsys.readouterr().err == ""
    other = {
        key: replace(v, training=v.training.model_copy(update={"epochs": 1}))
        for key, v in variants.items()
    }
    # Records for other params do not count.
    trainings.train(path, other, loaded.data, range(1))
    said = capsys.readouterr().err
    assert "2 training runs" in said and "4 records are for other params" in said
    correct = trainings.correct_of(both)
    assert {key: matrix.shape for key, matrix in correct.items()} == dict.fromkeys(
        variants, (2, 4)
    )


@pytest.mark.parametrize("key", [trainings.PARAMS, trainings.NET])
def test_each_record_is_written_as_soon_as_its_run_is_finished(
    small_data, monkeypatch, key
):
    def interrupted(cells):
        yield next(train_each(cells))
        raise KeyboardInterrupt

    loaded, train_each = params.load(), pool.train_each
    row = params.row_of(loaded, "baseline")
    variants = {("baseline", lr): tuning.with_rate(row, lr) for lr in RATES}
    path = small_data / "records.json"
    monkeypatch.setattr(pool, "train_each", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainings.train(path, variants, loaded.data, range(1))
    assert len(trainings.read(path, variants, loaded.data)) == 1
    # A record without both hashes is not trusted.
    [record] = json.loads(path.read_text())
    del record[key]
    path.write_text(json.dumps([record]))
    assert trainings.read(path, variants, loaded.data) == []


@pytest.mark.parametrize(
    ("value", "is_same"), [(0, True), (0.0, True), (False, True), (0.2, False)]
)
def test_a_new_part_of_the_recipe_that_is_off_keeps_all_records(small_data, value, is_same):
    class Extended(params.Train):
        mixup: float | bool

    row = params.row_of(COMMITTED, "res_annealed")
    training = Extended(**row.training.model_dump(), mixup=value)
    rows = row, replace(row, training=training)
    before, after = (trainings.params_hash(each, COMMITTED.data) for each in rows)
    assert (after == before) == is_same
    cells = (plan.Cell(each, 0, [0.5] * 3, [0.5] * 3) for each in rows)
    before, after = map(hundred.hash_of, cells)
    assert (after == before) == is_same


def test_a_damaged_file_of_records_is_one_line(tmp_path):
    path = tmp_path / "records.json"
    for damaged in ("<<<<<<< HEAD\n[]", "{", "[1]", "3"):
        path.write_text(damaged)
        with pytest.raises(UserError, match=r"records.json: .*; restore it with git"):
            trainings.read_all(path)


def test_tuning_refuses_a_rate_that_it_does_not_compare(small_data, monkeypatch):
    edit_params(small_data, {"train.lr": 0.03})
    monkeypatch.setattr(tuning, "RECIPE", "train")
    with pytest.raises(UserError, match=r"lr 0\.03 is no rate that this study compares"):
        tuning.main(seeds=2)


def test_a_study_without_images_says_how_to_get_them(workplace):
    with pytest.raises(UserError, match=r"cifar2.pt: missing; .* `dvc repro filter`"):
        trainings.load_params()


def test_a_run_that_diverges_gets_a_record_and_does_not_end_the_study(small_data, capsys):
    loaded = params.load()
    row = params.row_of(loaded, "depth")
    variants = {("depth", lr): tuning.with_rate(row, lr) for lr in (1e30, 0.01)}
    path = small_data / "records.json"
    records = trainings.train(path, variants, loaded.data, range(2))
    correct = trainings.correct_of(records)
    assert correct["depth", 1e30].sum() == 0
    assert correct["depth", 0.01].shape == correct["depth", 1e30].shape
    assert "note: depth with lr 1e+30 seed 0: the loss is" in capsys.readouterr().err
    assert trainings.train(path, variants, loaded.data, range(2)) == records
    assert capsys.readouterr().err == ""


def test_a_variant_has_its_own_learning_rate_and_keeps_the_rest(small_data):
    row = params.row_of(params.load(), "baseline")
    changed = tuning.with_rate(row, 0.5)
    expected = row.training.model_copy(update={"lr": 0.5})
    assert changed == replace(row, name="baseline with lr 0.5", training=expected)
    assert recipes.on_official_split(row).training.split == "official"


def test_equal_rates_rarely_span_more_than_noise():
    """In 5% of nets, by chance; here, in 600 nets with equal rates."""
    rates = dict.fromkeys(tuning.RATES, 0.9)
    correct = {str(i): invented(rates, seed=i) for i in range(600)}
    noise = tuning.noise(correct)
    spans = [np.ptp([m.mean() for m in rates.values()]) for rates in correct.values()]
    assert np.mean(np.array(spans) > noise) == pytest.approx(0.05, abs=0.02)


def test_the_page_names_nets_that_lose_more_than_noise(workplace):
    rates = dict.fromkeys(tuning.RATES, 0.9)
    correct = {"fine": invented(rates), "slow": invented(rates | {0.04: 0.99})}
    chosen = dict.fromkeys(correct, 0.02)
    machine = {"processor": "CPU", "cpu_capability": "AVX2", "torch": "2"}
    text = tuning.page(correct, chosen, machine)
    assert "Our rate costs these nets more than noise: slow." in text
    said = r"The largest gap to a net's best rate is (8|9|10)\.\d points, for slow\."
    assert re.search(said, " ".join(text.split()))
    text = tuning.page({"fine": correct["fine"]}, chosen, machine)
    assert "Our rate costs no net more than noise." in text
    assert tuning.chart(correct, chosen).axes[0].get_title(loc="left") == "fine"


def runs(split, accuracies, seed=0):
    """Invented runs, six of each accuracy; with folds, the six are on different images."""
    generator = np.random.default_rng(seed)
    n_folds = same_net.SEEDS if split == "folds" else 1
    hard = generator.normal(size=(n_folds, 300))
    noise = generator.normal(size=(len(accuracies), same_net.SEEDS, 300))
    thresholds = norm.ppf(np.array(accuracies))[:, None, None] * 1.1
    return (hard + 0.5 * noise < thresholds).astype(float).reshape(-1, 300)


@pytest.fixture
def few_groupings(monkeypatch):
    for name in ("GROUPINGS", "HALVES", "GROUPINGS_OF_HALF"):
        monkeypatch.setattr(same_net, name, 8)


@pytest.mark.usefixtures("few_groupings")
@pytest.mark.parametrize("split", same_net.SPLITS)
def test_groups_of_one_net_are_rarely_called_different(split):
    different, same, covered = same_net.rates(runs(split, [0.9] * 20), split, margin=0.05)
    assert different.interval.low <= different.share <= different.interval.high
    assert different.share < 0.1 and covered.share > 0.9
    assert different.share + same.share <= 1 and same.share > 0.5


@pytest.mark.parametrize("split", same_net.SPLITS)
def test_a_group_of_another_net_is_noticed(split):
    groups = list(runs(split, [0.9, 0.9, 0.6]).reshape(3, same_net.SEEDS, -1))
    p = [estimate.p for estimate in same_net.differences(groups, split)]
    assert p[0] > 0.05 > max(p[1:])


@pytest.mark.parametrize("split", same_net.SPLITS)
def test_each_run_is_in_one_group_and_each_group_has_all_folds(split):
    correct = np.repeat(np.arange(120.0)[:, None], 2, axis=1)  # the number of the run
    groups = same_net.grouping(same_net.by_fold(correct, split), np.random.default_rng(0))
    assert sorted(run for group in groups for run in group[:, 0]) == list(range(120))
    if split == "folds":
        assert all((group[:, 0] % 6).tolist() == list(range(6)) for group in groups)


@pytest.mark.usefixtures("few_groupings")
def test_the_page_of_one_net_compared_with_itself():
    correct = {split: runs(split, [0.9] * 20) for split in same_net.SPLITS}
    machine = {"processor": "CPU", "cpu_capability": "AVX2", "torch": "2"}
    text = same_net.page(correct, machine, margin=1)
    for split, name in (("official", "the official test images"), ("folds", "six folds")):
        [line] = [each for each in text.splitlines() if each.startswith(f"| {name} |")]
        different = same_net.rates(correct[split], split, 0.01)[0]
        assert f"**{different.share:.1%}**" in line
    assert len(same_net.chart(correct).axes) == 2
