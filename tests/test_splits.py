"""Which images a seed is trained and tested on."""

import json

import pytest
import torch

from benchmark.data.dataset import Dataset, folds_of, split
from benchmark.running.errors import UserError
from tests.conftest import ROOT, edit_params, run

CLASSES = 2


def data_of(n_train=100, n_test=20, classes=CLASSES):
    """Images whose first pixel is their number: first the test images, from 0."""

    def images(first, n):
        made = torch.zeros(n, 3, 32, 32, dtype=torch.uint8)
        made[:, 0, 0, 0] = torch.arange(first, first + n)
        return made

    names = [str(label) for label in range(classes)]
    return Dataset(
        names,
        images(n_test, n_train),
        torch.arange(n_train) % classes,
        images(0, n_test),
        torch.arange(n_test) % classes,
        [0.5] * 3,
        [0.5] * 3,
    )


def numbers(images):
    return images[:, 0, 0, 0].tolist()


def test_the_official_split_is_the_same_for_every_seed():
    data = data_of()
    for seed in range(3):
        made = split(data, "official", seed)
        assert numbers(made.val_images) == made.examples.tolist() == list(range(20))
        assert torch.equal(made.train_images, data.train_images)
        assert made.fold is None


def test_six_folds_test_every_image_once():
    data = data_of()
    splits = [split(data, "folds", seed) for seed in range(6)]
    tested = [number for made in splits for number in numbers(made.val_images)]
    assert sorted(tested) == list(range(120))
    for seed, made in enumerate(splits):
        assert (made.fold, made.n_folds) == (seed, 6)
        assert numbers(made.val_images) == made.examples.tolist()
        assert made.val_labels.bincount().tolist() == [10, 10]
        trained = numbers(made.train_images)
        assert sorted(trained + numbers(made.val_images)) == list(range(120))
        for images, labels in (
            (made.train_images, made.train_labels),
            (made.val_images, made.val_labels),
        ):
            assert [number % CLASSES for number in numbers(images)] == labels.tolist()


def test_fold_0_is_the_official_split():
    data = data_of()
    fold, official = split(data, "folds", 0), split(data, "official", 0)
    for one, other in zip(vars(fold).values(), vars(official).values(), strict=True):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, other)


def test_more_seeds_than_folds_start_over():
    data = data_of()
    assert split(data, "folds", 8).fold == 2
    assert torch.equal(split(data, "folds", 8).examples, split(data, "folds", 2).examples)


def test_a_remainder_is_always_trained_on():
    data = data_of(n_train=90)
    splits = [split(data, "folds", seed) for seed in range(5)]
    tested = {number for made in splits for number in numbers(made.val_images)}
    rest = set(range(110)) - tested
    assert {made.n_folds for made in splits} == {5} and len(rest) == 10
    assert all(rest <= set(numbers(made.train_images)) for made in splits)


def test_folds_are_stratified_for_unequal_classes():
    train_labels = torch.tensor([0] * 30 + [1] * 90 + [2] * 60)
    test_labels = torch.tensor([0] * 10 + [1] * 20 + [2] * 15)
    folds = folds_of(train_labels, test_labels)
    labels = torch.cat([test_labels, train_labels])
    assert int(folds.max()) == 3
    for fold in range(4):
        assert labels[folds == fold].bincount().tolist() == [10, 20, 15]
    assert torch.equal(folds, folds_of(train_labels, test_labels))


def test_too_few_images_for_folds_is_one_line():
    with pytest.raises(UserError, match=r"split: folds needs .* 30 for 20; use split: off"):
        split(data_of(n_train=30), "folds", 0)


@pytest.mark.parametrize("kind", ["official", "folds"])
def test_a_holdout_leaves_the_test_images_alone(kind):
    data = data_of()
    made = split(data, kind, seed=3, holdout=0.2)
    assert made.fold is None and made.n_folds is None
    held_out, trained = numbers(made.val_images), numbers(made.train_images)
    assert len(held_out) == 20 and made.val_labels.bincount().tolist() == [10, 10]
    assert sorted(held_out + trained) == list(range(20, 120))  # no test image
    assert made.examples.tolist() == held_out
    again = split(data, kind, seed=4, holdout=0.2)
    assert torch.equal(again.examples, made.examples)


def test_a_holdout_of_everything_is_one_line():
    with pytest.raises(UserError, match=r"data.holdout: 0.99 of 50 .* smaller share"):
        split(data_of(), "official", 0, holdout=0.99)


@pytest.mark.slow
def test_a_holdout_through_the_stages(small_data):
    edit_params(small_data, {"data.holdout": 0.2, "train.seeds": 1})
    here = {"cwd": small_data, "PYTHONPATH": str(ROOT)}
    run("python", "-m", "stages.train", "baseline", **here)
    said = run("python", "-m", "stages.validate", "baseline", **here)
    assert said.startswith("baseline: held-out accuracy ")
    metrics = json.loads((small_data / "metrics/baseline.json").read_text())
    assert metrics["holdout"] == 0.2
    lines = (small_data / "results/baseline/predictions.csv").read_text().splitlines()
    numbers = [int(line.split(",")[0]) for line in lines[1:]]
    # 40 training images; their numbers follow those of the 4 test images.
    assert len(numbers) == 8 and min(numbers) >= 4


@pytest.mark.slow
def test_more_models_than_seeds_are_all_scored(small_data):
    here = {"cwd": small_data, "PYTHONPATH": str(ROOT)}
    run("python", "-m", "stages.train", "baseline", **here)
    edit_params(small_data, {"train.seeds": 1})
    run("python", "-m", "stages.validate", "baseline", **here)
    lines = (small_data / "results/baseline/seeds.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["seed", "0", "1"]
    edit_params(small_data, {"train.seeds": 3})
    said = run("python", "-m", "stages.validate", "baseline", check=False, **here)
    assert said.startswith("error: models/baseline: no model of seed 2; run `dvc repro tr")
