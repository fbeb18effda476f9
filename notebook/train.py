"""Train a row of the notebook's table with every seed: notebook/results/<row>.json."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmark import params, pool
from benchmark.running import checkpoint, cli, errors, finished, stage
from benchmark.training import plan, recipe
from benchmark.training.cell import complete, fit
from benchmark.training.loop import shuffled_batches
from benchmark.training.plan import Cell
from benchmark.training.scoring import accuracy, predict
from notebook import defects, rows
from notebook.rows import Row

RESULTS = Path("notebook/results")
BATCH_SIZE = 64
# How the notebook trains every row, whatever the recipes of the benchmark are.
NOTEBOOK: dict[str, Any] = {
    "batch_size": BATCH_SIZE, "momentum": 0, "nesterov": False, "weight_decay": 0,
    "schedule": "constant", "warmup": 0, "label_smoothing": 0, "l1_lambda": 0,
    "l2_lambda": 0, "flip": False, "crop": 0, "cutout": 0, "averaged_epochs": 0,
    "flip_at_test": False, "precision": "fp32", "split": "official", "threads": 1,
    "device": "cpu",
}  # fmt: skip


def main(row: str) -> None:
    loaded = params.load()
    table = rows.load()
    rows.check_name(row, table)
    row_cells = cells(loaded, table, row)
    train = partial(train_row, row=table.rows[row])
    trained = [result for _, result in pool.map_cells(train, row_cells)]
    trained.sort(key=lambda result: result["seed"])
    result = {
        "row": row,
        "epochs": table.rows[row].epochs,
        "defects": table.rows[row].defects,
        "seeds": trained,
    }
    stage.write(RESULTS / f"{row}.json", json.dumps(result, indent=2) + "\n")
    for cell in row_cells:
        if cell.stem:
            finished.discard_checkpoint(cell.stem)


def cells(loaded: params.Params, table: rows.Rows, name: str) -> list[Cell]:
    """Return a row's cells, one per seed, with the defects in its architecture."""
    row = table.rows[name]
    architecture = recipe.load_architecture(row.architecture)
    settings = rows.settings_of(row, loaded.model.n_chans)
    data = loaded.data
    training = params.Train(
        lr=row.lr,
        # If the batch loop comes after the epoch loop, each batch is used only once.
        epochs=1 if "batches_outside" in row.defects else row.epochs,
        seeds=table.seeds,
        **NOTEBOOK,
    )
    values = {
        "row": row.model_dump(),
        "settings": settings,
        "training": training.model_dump(exclude={"seeds"}),
        "data": (data.mean, data.std),
    }
    own = (Path(module.__file__ or "") for module in (defects, rows))
    here = params.Row(name, row.architecture, "notebook", settings, training)
    code = [*plan.CODE, here.file, *own, Path(__file__)]
    for defect in row.defects:
        if defect in defects.IN_ARCHITECTURE:
            architecture = defects.IN_ARCHITECTURE[defect](architecture)
    stem = f"{finished.folder()}/notebook-{name}-{plan.fingerprint(values, code)}"
    machine = plan.machine_of("cpu")
    return [
        Cell(
            here,
            seed,
            data.mean,
            data.std,
            stem=Path(f"{stem}-seed-{seed}-{machine}"),
            architecture=architecture,
        )
        for seed in range(table.seeds)
    ]


def train_row(cell: Cell, row: Row) -> dict[str, Any]:
    """Train one seed of a row. Score it both as the notebook does and in eval mode."""
    with (
        checkpoint.locked(cell.stem, str(cell)),
        errors.blame_architecture(str(cell)),
        flushed_denormals(),
    ):
        return _train_row(cell, row)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treat numbers smaller than 1e-38 in magnitude as 0 inside this context.

    The added penalty makes all weights that small, which slows a processor down tenfold.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _train_row(cell: Cell, row: Row) -> dict[str, Any]:
    is_fixed = "fixed_order" in row.defects
    trained = fit(cell, defects.fixed_order if is_fixed else shuffled_batches)
    model, penalty = trained.setup.model, trained.setup.penalty
    data = trained.split
    # Eval mode first, because scoring in train mode changes batch norm's statistics.
    in_eval_mode = accuracy(predict(model, trained.val_images), data.val_labels)
    score = predict
    if "scored_in_train_mode" in row.defects:
        score = partial(defects.predict_in_train_mode, batch_size=BATCH_SIZE)
    # For the same reason, the training images first, as in the notebook.
    train_accuracy = accuracy(score(model, trained.images), data.train_labels)
    val_accuracy = accuracy(score(model, trained.val_images), data.val_labels)
    final = dict(defects.named_bytes(model))
    # Last, because this sets torch's seed.
    architecture, images = complete(cell)
    initial = recipe.build_training(
        architecture,
        len(images.class_names),
        cell.row.settings,
        cell.row.training,
        cell.seed,
    ).model
    return {
        "seed": cell.seed,
        "train_accuracy": train_accuracy,
        "val_accuracy": val_accuracy,
        "val_accuracy_in_eval_mode": in_eval_mode,
        # The notebook prints the loss with its penalty.
        "loss": trained.losses[-1] + (penalty().item() if penalty else 0.0),
        "epochs_trained": cell.row.training.epochs,
        "weights_moved": final != dict(defects.named_bytes(initial)),
        "parameters": recipe.n_parameters(model),
    }


if __name__ == "__main__":
    stage.run(main, cli.argument("row", help="a name under rows in notebook/params.yaml"))
