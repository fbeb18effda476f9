"""Train a row of the notebook's table, every seed: notebook/results/<row>.json."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmark import checkpoint, dataset, errors, params, recipe, stage, workers
from benchmark.environment import choose_device, describe
from benchmark.memory import keep_freed_memory
from benchmark.pool_first import PoolFirst
from benchmark.progress import EpochProgress
from benchmark.scoring import accuracy, predict
from benchmark.training import shuffled, train
from notebook import defects, rows
from notebook.rows import Row

RESULTS = Path("notebook/results")
BATCH_SIZE = 64


@dataclass(frozen=True)
class Task:
    """One training of a row. data: the images, normalized."""

    name: str
    row: Row
    architecture: recipe.Architecture
    seed: int
    settings: dict[str, Any]
    data: dataset.Dataset
    checkpoint: Path | None

    def __str__(self) -> str:
        return f"{self.name} seed {self.seed}"


def main() -> None:
    loaded = params.load()
    table = rows.load(loaded)
    name, row = rows.named_on_command_line(sys.argv, table)
    settings = rows.settings_of(row, recipe.settings_of(loaded, row.architecture))
    data = dataset.load(loaded.data.mean, loaded.data.std)
    what = {"row": row.model_dump(), "settings": settings, **vars(data)}
    architecture = recipe.find(row.architecture)
    tasks = [
        Task(name, row, architecture, seed, settings, data, path_of(name, seed, what))
        for seed in range(table.seeds)
    ]
    trained = sorted(workers.run(train_row, tasks, 1), key=lambda each: each["seed"])
    result = {"row": name, "epochs": row.epochs, "defects": row.defects, "seeds": trained}
    stage.write(RESULTS / f"{name}.json", (json.dumps(result, indent=2) + "\n").encode())
    for task in tasks:
        if task.checkpoint:
            task.checkpoint.unlink(missing_ok=True)
            task.checkpoint.with_suffix(".lock").unlink(missing_ok=True)


def path_of(name: str, seed: int, what: dict[str, Any]) -> Path | None:
    """Its checkpoint, named also by the code that is the notebook's own."""
    code = [Path(each.__file__ or "").read_bytes() for each in (defects, rows)]
    own = {"code": [*code, Path(__file__).read_bytes()], **what}
    architecture = what["row"]["architecture"]
    return checkpoint.path_of(f"{architecture}-seed-{seed}", own)


def train_row(task: Task) -> dict[str, Any]:
    """Train one seed of a row and score it as the notebook does, and in eval mode."""
    with checkpoint.held(task.checkpoint, str(task)), flushed_denormals():
        return _train(task)


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


def _train(task: Task) -> dict[str, Any]:
    keep_freed_memory()
    torch.set_num_threads(1)
    row, data = task.row, task.data
    architecture = task.architecture
    for each in row.defects:
        if each in defects.OF_ARCHITECTURE:
            architecture = defects.OF_ARCHITECTURE[each](architecture)
    made = recipe.assemble(
        architecture, len(data.class_names), task.settings, row.lr, task.seed
    )
    made.model.to(memory_format=torch.channels_last)
    images, val_images = (
        each.to(memory_format=torch.channels_last)
        for each in (data.train_images, data.val_images)
    )
    initial = dict(defects.parts(made.model))

    generator = torch.Generator().manual_seed(task.seed)
    order = (
        defects.fixed_order(len(images), BATCH_SIZE)
        if "fixed_order" in row.defects
        else shuffled(len(images), BATCH_SIZE, generator)
    )
    # Where the loop over batches stands after that over epochs, it runs once.
    epochs = 1 if "batches_outside" in row.defects else row.epochs
    environment = describe(choose_device("cpu"), 1)
    resumable = checkpoint.Resumable(
        made.model, made.optimizer, None, generator, torch.device("cpu")
    )
    losses: list[float] = []
    saved = checkpoint.load(task.checkpoint, environment)
    if saved:
        resumable.restore(saved)
        losses = saved["losses"]
    progress = EpochProgress(task.name, task.seed, epochs, done=len(losses))

    def report(epoch: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise errors.UserError(
                f"{task}: the loss is {loss} in epoch {epoch} with lr {row.lr}; "
                "try a smaller lr"
            )
        losses.append(loss)
        if task.checkpoint:
            curve = {"losses": losses, "val_accuracies": []}
            state = {"environment": environment, **curve, **resumable.state()}
            checkpoint.save(task.checkpoint, state)
        progress(epoch, loss)

    train(
        PoolFirst(made.model),
        made.optimizer,
        images,
        data.train_labels,
        epochs=epochs,
        order=order,
        loss=made.loss,
        penalty=made.penalty,
        report=report,
        first_epoch=len(losses) + 1,
    )
    # In eval mode first: to score in train mode moves batch norm's statistics.
    in_eval_mode = accuracy(predict(made.model, val_images), data.val_labels)
    score = predict
    if "scored_in_train_mode" in row.defects:
        score = partial(defects.predict_in_train_mode, batch_size=BATCH_SIZE)
    # The training images first, as the notebook does, for the same reason.
    train_accuracy = accuracy(score(made.model, images), data.train_labels)
    val_accuracy = accuracy(score(made.model, val_images), data.val_labels)
    penalty = made.penalty().item() if made.penalty else 0.0
    moved = dict(defects.parts(made.model)) != initial
    return {
        "seed": task.seed,
        "train_accuracy": train_accuracy,
        "val_accuracy": val_accuracy,
        "val_accuracy_in_eval_mode": in_eval_mode,
        # The notebook prints what it minimizes, the penalty with it.
        "loss": losses[-1] + penalty,
        "epochs_trained": epochs,
        "weights_moved": moved,
        "parameters": sum(p.numel() for p in made.model.parameters()),
    }


if __name__ == "__main__":
    stage.run(main)
