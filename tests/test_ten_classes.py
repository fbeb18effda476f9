"""The same nets on all ten classes: docs/ten_classes.md."""

import sys
import tarfile
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmark import params, pool
from benchmark.classes import CLASS_NAMES
from benchmark.data import cifar10, dataset
from benchmark.reporting import dvc_lock
from benchmark.running.errors import UserError
from benchmark.running.repository import images_for_copy
from benchmark.training import plan
from studies import recipes, ten_classes, trainings
from tests.conftest import COMMITTED, MACHINE, REAL, edit_params

ROWS = {name: params.row_of(COMMITTED, name) for name in COMMITTED.rows}
MODERN = COMMITTED.rows["modern"]


class Corners(nn.Module):
    """The scores of ten classes are the first ten pixels. A third class leads."""

    def forward(self, images):
        return images[:, 0, 0, :10] + 10 * nn.functional.one_hot(torch.tensor(5), 10)


@pytest.mark.parametrize("flip", [False, True])
def test_a_net_of_ten_classes_is_also_asked_about_two(monkeypatch, flip):
    """The answer is one of the two, and only their images count."""
    labels = [CLASS_NAMES.index("bird"), CLASS_NAMES.index("airplane")]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (400, 3, 32, 32), dtype=torch.uint8, generator=generator)
    truth = torch.arange(400) % 10
    data = dataset.Dataset(
        list(CLASS_NAMES), images, truth, images, truth, [0.5] * 3, [0.25] * 3
    )
    row = params.row_of(COMMITTED, "modern")
    training = row.training.model_copy(update={"flip_at_test": flip})
    cell = plan.Cell(replace(row, training=training), 0, data.mean, data.std)
    monkeypatch.setattr(trainings, "trained_model", lambda *_: (Corners(), data))
    is_right = []
    for image, label in zip(data.normalized(images), truth.tolist(), strict=True):
        if label in labels:
            scores = image[0, 0] + (image[0, 0].flip(0) if flip else 0)
            is_right.append(label == max(labels, key=lambda each: scores[each]))
    assert len(is_right) == 80 and 0.3 < np.mean(is_right) < 0.7
    found = ten_classes.accuracy_among(cell, {}, labels)
    assert found == pytest.approx(np.mean(is_right))


def test_records_of_ten_classes_are_kept_and_also_ask_about_two(small_data, monkeypatch):
    edit_params(small_data, {"data.classes": list(CLASS_NAMES), "rows.modern.n_chans": 2})
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (40, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.arange(40) % 10
    tensors = {"train_images": images, "train_labels": labels}
    tensors |= {"val_images": images, "val_labels": labels}
    torch.save({"class_names": list(CLASS_NAMES), **tensors}, plan.CIFAR2)
    variants_of = ten_classes.variants_of

    def few(loaded):
        return {
            key: replace(row, training=row.training.model_copy(update={"epochs": 1}))
            for key, row in variants_of(loaded).items()
            if key[0] == "modern"
        }

    monkeypatch.setattr(ten_classes, "variants_of", few)
    measured = small_data / "ten.json"
    found = ten_classes.train(measured, ["airplane", "bird"])
    assert [each["seed"] for each in found] == [0, 1, 2]
    assert {each["images"] for each in found} == {40}
    assert all(0 <= each[ten_classes.AMONG] <= 1 for each in found)
    monkeypatch.setattr(pool, "train_each", None)  # nothing is trained again
    assert ten_classes.train(measured, ["airplane", "bird"]) == found


def with_rows(loaded, **entries):
    """The committed rows, and some others."""
    return loaded.model_copy(update={"rows": COMMITTED.rows | entries})


def test_ten_classes_get_the_annealed_rows_and_modern(workplace):
    annealed = [row.label for row in ROWS.values() if row.table == "annealed"]
    other = params.Entry(**MODERN.model_dump(), split="folds", epochs=5)
    for loaded, epochs in ((COMMITTED, 20), (with_rows(COMMITTED, modern=other), 5)):
        rows = ten_classes.variants_of(loaded)
        assert [net for net, _ in rows] == [*annealed, "modern"]
        assert {row.training.split for row in rows.values()} == {"official"}
        assert list(rows.values())[-1].training.epochs == epochs


def test_rows_with_the_same_label_are_told_apart(workplace):
    annealed = COMMITTED.rows["baseline_annealed"].model_copy(update={"net": "modern"})
    rows = ten_classes.variants_of(with_rows(COMMITTED, modern_annealed=annealed))
    assert [net for net, _ in rows][-2:] == ["modern_annealed", "modern"]


@pytest.mark.parametrize(
    "changes",
    [{"source": "synthetic"}, {"holdout": 0.2}, {"classes": ["bird", "cat", "dog"]}],
)
def test_other_data_is_refused_at_once(changes):
    ten_classes.refuse_other_data(COMMITTED.data)
    with pytest.raises(UserError, match="this study needs source: cifar10, holdout: 0 and"):
        ten_classes.refuse_other_data(COMMITTED.data.model_copy(update=changes))


def test_the_copy_is_where_nets_come_from_and_the_page_is_here(
    small_data, tmp_path, monkeypatch
):
    def prepare(folder):
        folder.mkdir(parents=True)

    def train(measured, two):
        assert Path(sys.path[0]) == Path.cwd() != small_data
        assert measured == small_data / ten_classes.MEASURED
        assert list(two) == ["airplane", "bird"]
        return records_of("baseline")

    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(params, "load", lambda: COMMITTED)
    monkeypatch.setattr(ten_classes, "accuracies_of_two", lambda _: {"baseline": 0.9})
    monkeypatch.setattr(ten_classes, "prepare", prepare)
    monkeypatch.setattr(ten_classes, "train", train)
    (small_data / "docs").mkdir()
    ten_classes.main()
    assert "| baseline | 80.0% (" in (small_data / ten_classes.PAGE).read_text("utf-8")


def test_a_copy_takes_the_images_from_here_or_from_the_mirror(workplace, monkeypatch):
    here, mirror = Path("here"), workplace / "mirror"
    assert images_for_copy(here) == {}
    monkeypatch.setenv("CIFAR10_MIRROR", "https://example.org/cifar.tar.gz")
    assert images_for_copy(here) == {}  # the copy has the same environment
    monkeypatch.setenv("CIFAR10_MIRROR", "mirror")
    mirror.mkdir()
    assert images_for_copy(here) == {"CIFAR10_MIRROR": str(mirror)}
    here.mkdir()
    assert images_for_copy(here) == {"CIFAR10_MIRROR": str(workplace / "here")}


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="needs the archive of CIFAR-10")
@pytest.mark.parametrize("source", ["archive", "folder"])
def test_the_copy_has_the_images_of_all_classes(tmp_path, monkeypatch, source):
    monkeypatch.setenv("CIFAR10_MIRROR", str(REAL))
    monkeypatch.setattr(cifar10, "FOLDER", tmp_path / cifar10.FOLDER.name)
    if source == "folder":  # as the stage download leaves it
        monkeypatch.delenv("CIFAR10_MIRROR")
        with tarfile.open(REAL) as archive:
            archive.extractall(tmp_path, filter="data")
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    ten_classes.prepare(tmp_path / "copy")
    with chdir(tmp_path / "copy"):
        data = dataset.load(COMMITTED.data.mean, COMMITTED.data.std)
    assert data.class_names == list(CLASS_NAMES)
    assert len(data.train_labels) == 50_000 and len(data.val_labels) == 10_000


def test_the_same_nets_on_two_classes_have_current_results(small_data, monkeypatch):
    (small_data / "metrics").mkdir(exist_ok=True)
    (small_data / "metrics/modern.json").write_text('{"val_accuracy": 0.97}')
    loaded = with_rows(params.load())
    rows = trainings.rows_of(loaded, "annealed")
    with pytest.raises(UserError, match=r"lacks .*baseline.*; run `make recipes` first"):
        ten_classes.accuracies_of_two(loaded)
    records = []
    for row in map(recipes.on_official_split, rows):
        found = {"net": row.label, "lr": row.training.lr, "images": 4, "wrong": [0]}
        hashes = trainings.hashes(row, loaded.data)
        records += [found | hashes | {"seed": seed} for seed in range(6)]
    recipes.MEASURED.parent.mkdir()
    trainings.write(recipes.MEASURED, records)
    with pytest.raises(UserError, match="modern: its results do not belong to"):
        ten_classes.accuracies_of_two(loaded)
    monkeypatch.setattr(dvc_lock, "is_up_to_date", lambda row: row == "modern")
    expected = {row.label: 0.75 for row in rows} | {"modern": 0.97}
    assert ten_classes.accuracies_of_two(loaded) == expected
    # A net with the annealed recipe only is not in the study of recipes.
    both = with_rows(loaded, mine=COMMITTED.rows["baseline_annealed"])
    assert ten_classes.accuracies_of_two(both) == expected
    folds = params.Entry(**MODERN.model_dump(), split="folds")
    with pytest.raises(UserError, match=r"rows.modern: this study needs split: official"):
        ten_classes.accuracies_of_two(with_rows(loaded, modern=folds))
    trainings.write(recipes.MEASURED, records[:-1])
    with pytest.raises(UserError, match=f"lacks {rows[-1].label} with these params"):
        ten_classes.accuracies_of_two(loaded)


def test_without_images_the_copy_says_how_to_get_them(workplace, tmp_path):
    with pytest.raises(UserError, match=r"missing; get the images with `dvc repro filter`"):
        ten_classes.prepare(tmp_path / "copy")


def records_of(*nets):
    common = {
        "lr": 0.1, "images": 1000, "wrong": list(range(200)), "loss": 0.1,
        "environment": MACHINE, ten_classes.AMONG: 0.95,
    }  # fmt: skip
    return [{"net": net, "seed": seed} | common for net in nets for seed in range(3)]


def test_the_page_of_ten_classes():
    records = records_of("baseline", "modern")
    del records[0][ten_classes.AMONG]  # a run that diverged
    records[0]["wrong"] = list(range(1000))
    text = ten_classes.page(COMMITTED, {"modern": 0.97}, records)
    assert "modern is trained for only 20 epochs" in text and "after 64 epochs" in text
    assert "The loss of baseline with seed 0 was not finite." in text
    assert "| modern | 80.0% (" in text and "| 95.0% | 97.0% |" in text
    assert "| baseline | 53.3% (0.0% to 100.0%) | 63.3% | – |" in text
    assert "- –: the study of recipes leaves out" in text
    both = {"baseline": 0.9, "modern": 0.97}
    records[0][ten_classes.AMONG] = 0
    again = ten_classes.page(COMMITTED, both, records)
    assert "- –:" not in again and "not finite" not in again
    assert "there are 26.7 points with ten classes, and 7.0 points with two" in again


def test_records_for_other_classes_are_refused():
    records = [{ten_classes.ASKED: ["airplane", "bird"]}, {}]  # the last one diverged
    ten_classes.refuse_other_classes(records, ["airplane", "bird"])
    with pytest.raises(
        UserError, match=r"is for airplane, bird, but data.classes has cat,"
    ):
        ten_classes.refuse_other_classes(records, ["cat", "dog"])
    ten_classes.refuse_other_classes(records, ["bird", "airplane"])
