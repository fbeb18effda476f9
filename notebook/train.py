"""Train a row of the notebook's table, every seed: notebook/results/<row>.json."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmark import params
from benchmark.data import dataset
from benchmark.running import checkpoint, cli, errors, stage, workers
from benchmark.training import recipe
from benchmark.training.cell import CODE, Cell, fit
from benchmark.training.loop import shuffled
from benchmark.training.scoring import accuracy, predict
from notebook import defects, rows
from notebook.rows import Row

RESULTS = Path("notebook/results")
BATCH_SIZE = 64


def main(row: str) -> None:
    loaded = params.load()
    table = rows.load(loaded)
    rows.check_name(row, table)
    made = cells(loaded, table, row)
    train = partial(train_row, row=table.rows[row])
    trained = sorted(workers.run(train, made, 1), key=lambda each: each["seed"])
    result = {
        "row": row,
        "epochs": table.rows[row].epochs,
        "defects": table.rows[row].defects,
        "seeds": trained,
    }
    stage.write(RESULTS / f"{row}.json", json.dumps(result, indent=2) + "\n")
    checkpoint.discard(cell.checkpoint for cell in made)


def cells(loaded: params.Params, table: rows.Rows, name: str) -> list[Cell]:
    """A row's cells, one a seed, with the defects of its net, optimizer and penalty."""
    row = table.rows[name]
    data = dataset.load(loaded.data.mean, loaded.data.std)
    architecture = recipe.find(row.architecture)
    settings = rows.settings_of(row, recipe.settings_of(loaded, row.architecture))
    what = {"row": row.model_dump(), "settings": settings, **vars(data)}
    own = (Path(each.__file__ or "") for each in (defects, rows))
    code = [*CODE, Path(architecture.file), *own, Path(__file__)]
    for defect in row.defects:
        if defect in defects.OF_ARCHITECTURE:
            architecture = defects.OF_ARCHITECTURE[defect](architecture)
    training = loaded.train.model_copy(
        update={
            "lr": row.lr,
            # Where the loop over batches stands after that over epochs, it runs once.
            "epochs": 1 if "batches_outside" in row.defects else row.epochs,
            "batch_size": BATCH_SIZE,
            "threads": 1,
            "device": "cpu",
            "precision": "fp32",
        }
    )
    return [
        Cell(
            replace(architecture, name=name),
            settings,
            seed,
            training,
            data,
            checkpoint.path_of(f"notebook-{name}-seed-{seed}", what, code),
        )
        for seed in range(table.seeds)
    ]


def train_row(cell: Cell, row: Row) -> dict[str, Any]:
    """Train one seed of a row and score it as the notebook does, and in eval mode."""
    with (
        checkpoint.held(cell.checkpoint, str(cell)),
        errors.naming(str(cell)),
        flushed_denormals(),
    ):
        return _train_row(cell, row)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Numbers below 1e-38 are 0 here: the added penalty makes all weights that small.

    A processor is ten times slower with them.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _train_row(cell: Cell, row: Row) -> dict[str, Any]:
    batches = defects.fixed_order if "fixed_order" in row.defects else shuffled
    trained = fit(cell, batches)
    model, penalty = trained.recipe.model, trained.recipe.penalty
    data = cell.data
    # In eval mode first: to score in train mode moves batch norm's statistics.
    in_eval_mode = accuracy(predict(model, trained.val_images), data.val_labels)
    score = predict
    if "scored_in_train_mode" in row.defects:
        score = partial(defects.predict_in_train_mode, batch_size=BATCH_SIZE)
    # The training images first, as the notebook does, for the same reason.
    train_accuracy = accuracy(score(model, trained.images), data.train_labels)
    val_accuracy = accuracy(score(model, trained.val_images), data.val_labels)
    final = dict(defects.parts(model))
    # Last, for to draw the weights once more sets torch's seed.
    initial = recipe.assemble(
        cell.architecture, len(data.class_names), cell.settings, row.lr, cell.seed
    ).model
    return {
        "seed": cell.seed,
        "train_accuracy": train_accuracy,
        "val_accuracy": val_accuracy,
        "val_accuracy_in_eval_mode": in_eval_mode,
        # The notebook prints what it minimizes, the penalty with it.
        "loss": trained.losses[-1] + (penalty().item() if penalty else 0.0),
        "epochs_trained": cell.training.epochs,
        "weights_moved": final != dict(defects.parts(initial)),
        "parameters": recipe.n_parameters(model),
    }


if __name__ == "__main__":
    stage.run(main, cli.argument("row", help="its name in notebook/params.yaml"))
