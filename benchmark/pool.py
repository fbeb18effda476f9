"""Train the cells of any rows in one pool: those that are begun, then the longest first.

First, the speed of every row is measured, so that a long run can say how long it will take.
This module does not import torch, so that a stage whose cells are finished starts quickly.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from benchmark import params
from benchmark.reporting import dvc_lock
from benchmark.running import finished, workers
from benchmark.running.errors import UserError, explained
from benchmark.running.finished import CellResult
from benchmark.running.progress import Epochs, Progress
from benchmark.training import plan
from benchmark.training.plan import Cell

# After this many epochs, a loss this near to that of guessing (as a share) is reported.
FIRST_EPOCHS, NEAR = 3, 0.01

Task = TypeVar("Task")
Result = TypeVar("Result")


def train_rows(loaded: params.Params, *names: str) -> list[CellResult]:
    """Return the results of all cells of these rows; train those that are not finished.

    If any are not, all rows are checked first. Raises UserError.
    """
    cells = [cell for name in names for cell in plan.cells(loaded, name)]
    n_finished = sum(map(plan.is_finished, cells))
    if n_finished and "DVC_STAGE" in os.environ:
        said = f"{n_finished} of {len(cells)} training runs are finished already"
        print(said, file=sys.stderr)
    if n_finished < len(cells):
        from benchmark.check import check_rows

        check_rows(loaded, *names)
        if "DVC_STAGE" in os.environ:
            say_if_only_models_are_missing(*names)
    return train(cells)


def say_if_only_models_are_missing(*names: str) -> None:
    """Say how not to train rows whose results are in git, as in a fresh clone."""
    for name in filter(dvc_lock.is_up_to_date, names):
        print(
            f"note: {name} trains only because its models are missing here; its results "
            "are up to date. To train only what a change affects, interrupt this, and run "
            "the same command with --allow-missing",
            file=sys.stderr,
        )


def train(cells: Sequence[Cell]) -> list[CellResult]:
    """Return the results of the cells; train those that are not finished.

    Raises UserError.
    """
    results = dict(train_each(cells))
    return [results[cell.stem] for cell in cells]


def train_each(cells: Sequence[Cell]) -> Iterator[tuple[Path | None, CellResult]]:
    """Yield the stem and the result of each cell: first those of finished cells.

    Each result is stored at once, so a run that is interrupted loses at most one epoch of
    every running cell. Raises UserError.
    """
    # Rows that are trained in the same way share their cells.
    distinct = {cell.stem: cell for cell in cells}
    missing = []
    for stem, cell in distinct.items():
        if result := plan.result_of(cell):
            yield stem, result
        else:
            missing.append(cell)
    if missing:
        code = {cell.row.file: code_of(cell) for cell in missing}
        function = in_worker("benchmark.rehearsal.rehearse", "train_cell")
        for cell, result in map_cells(function, missing):
            if cell.stem:
                refuse_other_code(cell, code[cell.row.file])
                store(cell.stem, result)
            yield cell.stem, result


def store(stem: Path, result: CellResult) -> None:
    """Store a finished cell in place of its checkpoint. Raises UserError if that fails."""
    with explained(
        f"{stem.parent}: cannot store a finished cell ({{}}); free some space or make the "
        "folder writable, then run again: checkpoints are kept",
        OSError,
    ):
        finished.store(stem, result)


def code_of(cell: Cell) -> str:
    """Return a hash of the code and the images that determine the cell's result."""
    return plan.fingerprint({}, [*plan.CODE, cell.row.file])


def refuse_other_code(cell: Cell, before: str) -> None:
    """Raise UserError if code or images changed since the fingerprints were made.

    A worker may have loaded either version.
    """
    if code_of(cell) != before:
        raise UserError(
            f"{cell}: its code or its images changed during the run, so the result is not "
            "stored; run again"
        )


def map_cells(
    function: Callable[[Cell], Result], cells: Sequence[Cell]
) -> Iterator[tuple[Cell, Result]]:
    """Yield each cell and function(cell), in the order in which they finish.

    Raises UserError if the function does.
    """
    finished.prune()
    threads = cells[0].row.training.threads
    seconds = estimates(cells, threads)
    # An interrupted run resumes, and does not leave everything half done.
    order = sorted(range(len(cells)), key=lambda i: (not is_begun(cells[i]), -seconds[i]))
    # Not later, when params.yaml may have changed.
    guessing = math.log(len(params.load().data.classes))
    progress = Progress(
        {i: (str(cells[i]), seconds[i]) for i in order},
        workers.n_processes(len(cells), threads),
        lambda i: epochs_of(cells[i], guessing),
    )
    tasks = [(i, portable(cells[i])) for i in order]
    with progress:
        for i, result, took in workers.map_tasks(partial(timed, function), tasks, threads):
            progress.done(i, took)
            yield cells[i], result


def is_begun(cell: Cell) -> bool:
    return bool(cell.stem and finished.find(cell.stem, finished.CHECKPOINT).exists())


def epochs_of(cell: Cell, guessing: float) -> Epochs | None:
    """Return how far the checkpoint of a cell is, or None if there is none.

    guessing: the cross-entropy of a net that gives all classes the same score.
    """
    if cell.stem is None:
        return None
    path = finished.find(cell.stem, finished.CHECKPOINT)
    try:
        changed = path.stat().st_mtime
        losses = _losses(path, changed)
    except OSError:  # the cell has just been finished
        return None
    guesses = len(losses) >= FIRST_EPOCHS and abs(losses[-1] / guessing - 1) < NEAR
    return Epochs(len(losses), cell.row.training.epochs, changed, guesses)


@cache
def _losses(path: Path, _changed: float) -> list[float]:
    from benchmark.running.checkpoint import losses

    return losses(path)


def estimates(cells: Sequence[Cell], threads: int) -> list[float]:
    """Return how many seconds each cell will take; each row is measured once."""
    rows: dict[str, list[int]] = {}
    for i, cell in enumerate(cells):
        rows.setdefault(repr(cell.row), []).append(i)
    by_first = {numbers[0]: numbers for numbers in rows.values()}
    tasks = [
        (i, [portable(cells[i]), *(cells[other] for other in others)])
        for i, *others in rows.values()
    ]
    estimate = in_worker("benchmark.speed", "estimate")
    seconds: dict[int, float] = {}
    for i, estimated, _ in workers.map_tasks(partial(timed, estimate), tasks, threads):
        seconds |= zip(by_first[i], estimated, strict=True)
    return [seconds[i] for i in range(len(cells))]


def timed(
    function: Callable[[Task], Result], task: tuple[int, Task]
) -> tuple[int, Result, float]:
    """Call the function in a worker; return the task's number, the result, and seconds."""
    start = time.monotonic()
    return task[0], function(task[1]), time.monotonic() - start


def portable(cell: Cell) -> Cell:
    """Return the cell with all that the workers need, who may not see this repository."""
    if not os.environ.get(workers.SCHEDULER):
        return cell
    from benchmark.training.cell import complete

    architecture, data = complete(cell)
    stem = cell.stem if plan.keeps_checkpoints() else None
    return replace(cell, architecture=architecture, data=data, stem=stem)


def in_worker(module: str, name: str) -> Callable[[Any], Any]:
    """Return a function of the project that needs torch.

    On this machine, its module is imported in the worker. A cluster's workers cannot import
    it, so it is imported here and sent by value.
    """
    if os.environ.get(workers.SCHEDULER):
        return getattr(import_module(module), name)
    return partial(_import_and_call, module, name)


def _import_and_call(module: str, name: str, task: Any) -> Any:
    return getattr(import_module(module), name)(task)
