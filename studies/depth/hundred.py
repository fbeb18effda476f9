"""The chapter's recipe with 100 blocks, for 100 epochs: docs/depth/*_seed_*.json.

Two runs of the corrected net, which are cells of `dvc exp run -S model.n_blocks=100`, and
one of the notebook's net. Records have the accuracy after every tenth epoch.
"""

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmark import params, pool
from benchmark.reporting.results import read_json
from benchmark.running import checkpoint, errors, finished, workers
from benchmark.running.files import write_atomic
from benchmark.training import cell as training
from benchmark.training import plan, recipe
from benchmark.training.environment import Environment, choose_device, describe, merge
from benchmark.training.loop import shuffled_batches
from benchmark.training.plan import Cell
from benchmark.training.scoring import accuracy, predict
from notebook import defects, rows
from notebook import train as notebook
from notebook.report import long_settings
from studies.depth import FOLDER, PRECISION
from studies.trainings import used_parts

ROW, BLOCKS, SEEDS, EPOCHS = "res_deep", 100, 2, 100
# The accuracy is recorded after every `EVERY` epochs.
EVERY = 10
CORRECTED, AS_PRINTED = "corrected", "as_printed"

Record = dict[str, Any]


def train(loaded: params.Params) -> list[Record]:
    """Return the records of all three runs; train those that are not finished.

    Raises UserError on a cluster, whose workers could not write the records here.
    """
    cells = [*corrected(loaded), as_printed(loaded)]
    missing = [cell for cell in cells if "final" not in read(cell)]
    code = {cell.stem: pool.code_of(cell) for cell in missing}
    if missing:
        if os.environ.get(workers.SCHEDULER):
            raise errors.UserError(
                f"{workers.SCHEDULER} is set, but this study cannot run on a cluster; "
                "unset it"
            )
        for cell in missing:
            check_records(cell)
        for cell, final in pool.map_cells(train_and_record, missing):
            pool.refuse_other_code(cell, code[cell.stem])
            write(cell, {**read(cell), "final": final})
            if cell.stem:
                finished.discard_checkpoint(cell.stem)
    return [read(cell) for cell in cells]


def corrected(loaded: params.Params) -> list[Cell]:
    """Return the cells of the benchmark's own row, with 100 blocks."""
    sizes = loaded.model.model_copy(update={"n_blocks": BLOCKS})
    row = params.row_of(loaded.model_copy(update={"model": sizes}), ROW)
    changed = {"precision": PRECISION, "seeds": SEEDS, "epochs": EPOCHS}
    row = replace(row, name=CORRECTED, training=row.training.model_copy(update=changed))
    return plan.cells_of(row, loaded.data)


def as_printed(loaded: params.Params) -> Cell:
    """Return the first cell of the notebook's row, with the 100 epochs of the notebook."""
    table = rows.load().model_copy(update={"rows": {ROW: printed_row()}})
    cell = notebook.cells(loaded, table, ROW)[0]
    assert cell.stem
    # notebook.train trains in fp32, so its stems do not name the precision.
    stem = cell.stem.with_name(f"{PRECISION}-{cell.stem.name}")
    cell = training.with_training(cell, precision=PRECISION)
    return replace(cell, row=replace(cell.row, name=AS_PRINTED), stem=stem)


def printed_row() -> rows.Row:
    return rows.load().rows[ROW].model_copy(update={"epochs": EPOCHS, "blocks": BLOCKS})


def check_records(cell: Cell) -> None:
    """Delete the checkpoint of a cell whose accuracies were not recorded all along.

    That is the case if `dvc repro` or `dvc exp run` trained the cell, or a part of it. If
    only the last accuracy is missing, because the run was killed before it was recorded,
    record it now.
    """
    assert cell.stem
    recorded, state = epochs_of(read(cell)), saved(cell)
    n_epochs = len(state["losses"]) if state else 0
    if recorded[-1:] == [EPOCHS]:
        return
    is_finished = plan.is_finished(cell)
    if state and not is_finished and recorded == list(range(EVERY, n_epochs, EVERY)):
        record(cell, n_epochs, state["losses"][-1])
    elif is_finished or recorded != list(range(EVERY, n_epochs + 1, EVERY)):
        finished.find(cell.stem, finished.CHECKPOINT).unlink(missing_ok=True)
        print(
            f"note: {cell}: the accuracies of its former run were not all recorded, so it "
            "starts over",
            file=sys.stderr,
        )


def epochs_of(found: Record) -> list[int]:
    return [entry["epoch"] for entry in found.get("epochs", ())]


def train_and_record(cell: Cell) -> Record:
    """Train a cell in a worker, recording its accuracies; return the final scores."""
    if epochs_of(read(cell))[-1:] != [EPOCHS]:
        fit(cell)
    if cell.row.name == AS_PRINTED:
        final = notebook.train_row(cell, printed_row())
        keys = ("loss", "val_accuracy", "val_accuracy_in_eval_mode")
        return {key: final[key] for key in keys}
    result = training.train_cell(cell)
    if cell.stem:
        pool.store(cell.stem, result)
    *_, loss = result["losses"]
    *_, last = result["val_accuracies"]
    return {"loss": loss, "val_accuracy": last, "last_epochs": result["val_accuracies"]}


def fit(cell: Cell) -> None:
    """Train until the last checkpoint; what trains the cell next only has to score it."""
    printed = cell.row.name == AS_PRINTED
    batches: training.MakeBatches = defects.fixed_order if printed else shuffled_batches
    with (
        checkpoint.locked(cell.stem, str(cell)),
        errors.blame_architecture(str(cell)),
        notebook.flushed_denormals() if printed else nullcontext(),
    ):
        training.fit(cell, batches, progress=partial(record, cell))


def record(cell: Cell, epoch: int, loss: float) -> None:
    """Add the accuracy after this epoch to the cell's record."""
    if epoch % EVERY:
        return
    state = saved(cell)
    if state is None:
        raise errors.UserError(
            f"{cell}: its checkpoint was damaged or deleted during the run; run again"
        )
    before = read(cell)
    # A run whose checkpoint was lost starts over: its later epochs are of the former run.
    epochs = [entry for entry in before.get("epochs", ()) if entry["epoch"] < epoch]
    entry = {"epoch": epoch, "loss": loss, **accuracies(cell, state["model"])}
    machines: list[Environment] = [before["environment"]] if epochs else []
    now = merge([*machines, state["environment"]])
    write(cell, {"seed": cell.seed, "environment": now, "epochs": [*epochs, entry]})


def saved(cell: Cell) -> checkpoint.State | None:
    """Return the cell's checkpoint, if there is one that can be resumed here."""
    assert cell.stem
    where = cell.row.training
    environment = describe(choose_device(where.device), where.threads)
    path = finished.find(cell.stem, finished.CHECKPOINT)
    state, _ = checkpoint.read(path, environment)
    return state


def accuracies(cell: Cell, weights: dict[str, Any]) -> dict[str, float]:
    """Score the test images in eval mode; for the notebook's net, in train mode, too."""
    architecture, data = training.complete(cell)
    # Building a model draws random numbers, and those of the training run must not change.
    with torch.random.fork_rng(devices=[]):
        model = recipe.build_model(architecture, len(data.class_names), cell.row.settings)
    model.load_state_dict(weights)
    # As in training, so that the last epoch gets the same score here and there.
    model.to(memory_format=torch.channels_last)
    images, labels = data.normalized(data.val_images), data.val_labels
    images = images.to(memory_format=torch.channels_last)
    found = {"accuracy": accuracy(predict(model, images), labels)}
    if cell.row.name == AS_PRINTED:
        predicted = defects.predict_in_train_mode(model, images, notebook.BATCH_SIZE)
        found["accuracy_in_train_mode"] = accuracy(predicted, labels)
    return found


def path_of(cell: Cell) -> Path:
    return FOLDER / f"{cell.row.name}_seed_{cell.seed}.json"


def read(cell: Cell) -> Record:
    """Return a cell's record; empty if it has none, or one for other params or code."""
    path = path_of(cell)
    found = read_json(path, "restore it with git") if path.exists() else {}
    return found if found.get("hash") == hash_of(cell) else {}


def write(cell: Cell, found: Record) -> None:
    if cell.row.name == AS_PRINTED:  # for docs/notebook.md
        found = {**found, "row": long_settings(printed_row(), params.load())}
    content = json.dumps({**found, "hash": hash_of(cell)}, indent=1)
    write_atomic(path_of(cell), (content + "\n").encode())


def hash_of(cell: Cell) -> str:
    """Return a hash of the params, the images, and the files that define the net."""
    row, files = cell.row, [cell.row.file]
    if row.name == AS_PRINTED:
        files.append(Path(defects.__file__))
    values = {
        "settings": row.settings,
        "training": used_parts(row.training),
        "images": (cell.mean, cell.std),
    }
    return plan.fingerprint(values, files)
