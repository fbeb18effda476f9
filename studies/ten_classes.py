"""All ten classes of CIFAR-10: docs/ten_classes.md.

Trains every row of the annealed recipe, and modern, on all ten classes, in a temporary copy
of the project. An interrupted run can resume.
"""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmark import params
from benchmark.classes import CLASS_NAMES, ClassName
from benchmark.data import cifar10
from benchmark.reporting import dvc_lock
from benchmark.reporting.render import render
from benchmark.reporting.results import METRICS, read_json
from benchmark.running import cli, finished
from benchmark.running.errors import UserError
from benchmark.running.files import write_atomic
from benchmark.running.finished import CellResult
from benchmark.running.repository import (
    MIRROR,
    copy_project,
    edit_params,
    images_for_copy,
    run_in_one_process,
)
from benchmark.stats.uncertainty import accuracy_interval
from benchmark.training import plan
from benchmark.training.environment import merge
from benchmark.training.scoring import accuracy, predict
from studies import recipes, trainings
from studies.trainings import Record

RECIPE, MODERN = "annealed", "modern"
SEEDS = 3
# At most. With five times as many images, these are still more steps than those of the row.
EPOCHS_OF_MODERN = 20
MEASURED, PAGE = (Path(f"docs/ten_classes.{kind}") for kind in ("json", "md"))
# Keys of a record: the accuracy if only some classes are possible answers; and these.
AMONG, ASKED = "accuracy_among_asked", "asked"


class Among(nn.Module):
    """A net with the scores of some of its classes only. labels: these, by number."""

    def __init__(self, model: nn.Module, labels: Sequence[int]) -> None:
        super().__init__()
        self.model, self.labels = model, list(labels)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.model(images)
        return scores[:, self.labels]


def main() -> None:
    refuse_other_data(params.load().data)
    loaded, measured = trainings.load_params(), MEASURED.absolute()
    on_two = accuracies_of_two(loaded)
    with tempfile.TemporaryDirectory(
        prefix="ten-classes-", ignore_cleanup_errors=True
    ) as folder:
        prepare(Path(folder, "copy"))
        # Relative paths, such as that of the images, now lead into the copy.
        with chdir(Path(folder, "copy")):
            # So that the workers, too, import the nets from the copy.
            sys.path.insert(0, str(Path.cwd()))
            records = train(measured, loaded.data.classes)
    write_atomic(PAGE, page(loaded, on_two, records).encode())


def refuse_other_data(data: params.Data) -> None:
    """Raise UserError unless the benchmark has two classes of all of CIFAR-10."""
    if data.source != "cifar10" or data.holdout or len(data.classes) != 2:
        raise UserError(
            f"{params.PARAMS}: data: this study needs source: cifar10, holdout: 0 and two "
            "classes"
        )


def prepare(folder: Path) -> None:
    """Copy the project, with all classes, and make its images. Raises UserError."""
    images = images_for_copy(cifar10.FOLDER)
    if not images and not os.environ.get(MIRROR):
        raise UserError(
            f"{cifar10.FOLDER}: missing; get the images with `dvc repro filter`"
        )
    copy_project(folder)
    edit_params(folder, {"data.classes": list(CLASS_NAMES)})
    stages = {name: f"python -m stages.{name}" for name in ("download", "filter")}
    run_in_one_process(folder, stages, False, **images)
    # Not in the copy, so that an interrupted run can resume.
    os.environ[finished.SHARED] = str(finished.folder())


def train(measured: Path, two: Sequence[ClassName]) -> list[Record]:
    """Train what is missing; return all records. two: the classes of the benchmark."""
    loaded = trainings.load_params()
    labels = [loaded.data.classes.index(name) for name in two]
    variants = variants_of(loaded)
    refuse_other_classes(trainings.read(measured, variants, loaded.data), two)

    def extra(cell: plan.Cell, result: CellResult) -> Record:
        return {AMONG: accuracy_among(cell, result, labels), ASKED: list(two)}

    return trainings.train(measured, variants, loaded.data, range(SEEDS), SEEDS, extra)


def refuse_other_classes(records: Sequence[Record], two: Sequence[str]) -> None:
    """Raise UserError if a record answers for other classes than the benchmark's."""
    for record in records:
        if sorted(record.get(ASKED, two)) != sorted(two):
            raise UserError(
                f"{MEASURED}: is for {', '.join(record[ASKED])}, but data.classes has "
                f"{', '.join(two)}; move the file away to train for these"
            )


def variants_of(loaded: params.Params) -> dict[trainings.Key, params.Row]:
    """Return the rows to train, by name and rate."""
    rows = rows_by_name(loaded)
    modern = rows[MODERN].training
    epochs = {"epochs": min(EPOCHS_OF_MODERN, modern.epochs)}
    rows[MODERN] = replace(rows[MODERN], training=modern.model_copy(update=epochs))
    return {
        (name, row.training.lr): recipes.on_official_split(row)
        for name, row in rows.items()
    }


def rows_by_name(loaded: params.Params) -> dict[str, params.Row]:
    """Return the annealed rows and modern, by label; by full name if labels are equal."""
    rows = [*trainings.rows_of(loaded, RECIPE), params.row_of(loaded, MODERN)]
    labels = [row.label for row in rows]
    return {row.label if labels.count(row.label) == 1 else row.name: row for row in rows}


def accuracy_among(cell: plan.Cell, result: CellResult, labels: Sequence[int]) -> float:
    """Return the accuracy on the test images of some classes, if others are no answer.

    labels: these classes, by number.
    """
    model, data = trainings.trained_model(cell, result)
    asked = torch.tensor(labels)
    is_tested = torch.isin(data.val_labels, asked)
    images = data.normalized(data.val_images[is_tested])
    chosen = predict(Among(model, labels), images, flip=cell.row.training.flip_at_test)
    return accuracy(asked[chosen], data.val_labels[is_tested])


def page(
    loaded: params.Params, on_two: Mapping[str, float], records: Sequence[Record]
) -> str:
    """Render the page as Markdown.

    on_two: the accuracy of nets that were trained on the benchmark's classes only.
    """
    modern = params.row_of(loaded, MODERN).training
    correct = {net: c for (net, _), c in trainings.correct_of(list(records)).items()}
    among: dict[str, list[float]] = {}
    diverged = []
    for record in records:
        among.setdefault(record["net"], []).append(record.get(AMONG, 0.0))
        if AMONG not in record:
            diverged.append(f"{record['net']} with seed {record['seed']}")
    return render(
        Path(__file__).with_suffix(".md.jinja"),
        rows=[
            {
                "net": net,
                "mean": matrix.mean(),
                "interval": accuracy_interval(matrix).interval().of_shares(),
                "among": np.mean(among[net]),
                "two": on_two.get(net),
            }
            for net, matrix in sorted(correct.items(), key=lambda item: -item[1].mean())
        ],
        diverged=diverged,
        modern=MODERN,
        two=loaded.data.classes,
        seeds=SEEDS,
        seeds_of_two=recipes.SEEDS,
        seeds_of_modern=modern.seeds,
        epochs=min(EPOCHS_OF_MODERN, modern.epochs),
        epochs_of_two=modern.epochs,
        n_images=records[0]["images"],
        environment=merge(record["environment"] for record in records),
    )


def accuracies_of_two(loaded: params.Params) -> dict[str, float]:
    """Return the accuracy of each net if it is trained on the benchmark's classes only.

    On the official test images: from the study of recipes, without nets that it leaves out,
    and from the row of modern. Raises UserError if they do not belong to the current params
    and nets.
    """
    variants = recipes.variants_of(loaded)
    records = trainings.read(recipes.MEASURED, variants, loaded.data)
    by_net = {net: correct for (net, _), correct in trainings.correct_of(records).items()}
    if missing := [n for n, _ in variants if len(by_net.get(n, ())) < recipes.SEEDS]:
        raise UserError(
            f"{recipes.MEASURED}: lacks {', '.join(missing)} with these params, nets and "
            "images; run `make recipes` first"
        )
    rows = rows_by_name(loaded)
    again = f"`dvc repro validate@{MODERN}`"
    if not dvc_lock.is_up_to_date(MODERN):
        raise UserError(
            f"{MODERN}: its results do not belong to params.yaml and the code; run {again} "
            "first"
        )
    if rows[MODERN].training.split != "official":
        raise UserError(
            f"{params.PARAMS}: rows.{MODERN}: this study needs split: official, because "
            "all nets are compared on the official test images"
        )
    found = {
        name: float(by_net[row.label].mean())
        for name, row in rows.items()
        if row.table == RECIPE and row.label in by_net
    }
    metrics = read_json(METRICS / f"{MODERN}.json", f"make it with {again}")
    return found | {MODERN: metrics["val_accuracy"]}


if __name__ == "__main__":
    cli.run(main)
