"""Train rows in variants that the table does not have, and keep what they score.

Records are JSON objects: the net, the learning rate, the seed, a hash of everything in
params.yaml that its training depends on, and one of the net's file and the images; the
images that the model got wrong, the last training loss, and the environment. They are
written after each run, each on a line of its own, so a study can resume, and git can merge
two files.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from torch import nn

from benchmark import params, pool
from benchmark.data import dataset
from benchmark.running.errors import DivergedError, UserError, explained
from benchmark.running.files import write_atomic
from benchmark.running.finished import CellResult
from benchmark.stats.uncertainty import Matrix
from benchmark.training import plan, recipe, state_dict
from benchmark.training.cell import complete
from benchmark.training.environment import choose_device, describe

Record = dict[str, Any]
# A net and a learning rate.
Key = tuple[str, float]
# Returns more entries for the record of a trained cell.
Extra = Callable[[plan.Cell, CellResult], Record]
# The keys of a record's hashes.
PARAMS, NET = "params", "net_and_images"
# The key of the hashes in a file of training times.
HASHES = "hashes"


def load_params() -> params.Params:
    """Read params.yaml. Raises UserError also if the images are missing."""
    loaded = params.load()
    if not plan.CIFAR2.exists():
        raise UserError(f"{plan.CIFAR2}: missing; make it with `dvc repro filter`")
    return loaded


def rows_of(loaded: params.Params, recipe: str) -> list[params.Row]:
    """Return the rows in the table of this recipe."""
    rows = (params.row_of(loaded, name) for name in loaded.rows)
    return [row for row in rows if row.table == recipe]


def train(
    path: Path,
    variants: Mapping[Key, params.Row],
    data: params.Data,
    seeds: Sequence[int],
    at_once: int = 1,
    extra: Extra | None = None,
) -> list[Record]:
    """Train every variant with every seed, unless `path` has its record already.

    path: a JSON file, which gets the new records. Records for other params, another
    net or other images are dropped. at_once: how many seeds to train side by side. extra:
    returns more entries for the record of a trained cell.
    """
    records: list[Record] = []
    # One batch of seeds after another, so that all variants advance alike.
    for batch in (seeds[i : i + at_once] for i in range(0, len(seeds), at_once)):
        runs = [(key, seed) for seed in batch for key in variants]
        records = train_runs(path, variants, data, runs, extra)
    return records


def read(path: Path, variants: Mapping[Key, params.Row], data: params.Data) -> list[Record]:
    """Return the records of these variants, but none for other params, net or images."""
    expected = {key: hashes(row, data) for key, row in variants.items()}
    return [
        record
        for record in read_all(path)
        if key_of(record) in expected and expected[key_of(record)].items() <= record.items()
    ]


def read_all(path: Path) -> list[Record]:
    """Return all records in a file; none if there is no file. Raises UserError."""
    if not path.exists():
        return []
    with explained(f"{path}: {{}}; restore it with git", TypeError, ValueError):
        return [dict(record) for record in json.loads(path.read_text("utf-8"))]


def write(path: Path, records: Sequence[Record]) -> None:
    lines = ",\n".join(json.dumps(record) for record in records)
    write_atomic(path, f"[\n{lines}\n]\n".encode())


def train_runs(
    path: Path,
    variants: Mapping[Key, params.Row],
    data: params.Data,
    runs: Sequence[tuple[Key, int]],
    extra: Extra | None = None,
) -> list[Record]:
    """Train these variants and seeds side by side; return all records of the variants.

    A run whose loss is not finite gets a record, too: all its answers count as wrong.
    extra: returns more entries for the record of a trained cell.
    """
    records = read(path, variants, data)
    known = {(key_of(record), record["seed"]) for record in records}
    missing = {
        run: cell_of(variants[run[0]], data, run[1]) for run in runs if run not in known
    }
    if missing:
        say_what_is_dropped(path, len(records))
    order = {key: i for i, key in enumerate(variants)}
    while missing:
        for stem, result in train_each(list(missing.values())):
            # Variants that are trained in the same way share a cell.
            done = [run for run, cell in missing.items() if cell.stem == stem]
            for key, seed in done:
                cell = missing.pop((key, seed))
                found = record_of(key, variants[key], data, seed, result)
                records.append(found | (extra(cell, result) if extra and result else {}))
            records.sort(key=lambda record: (record["seed"], order[key_of(record)]))
            write(path, records)
    return records


def train_each(
    cells: Sequence[plan.Cell],
) -> Iterator[tuple[Path | None, CellResult | None]]:
    """Yield the results like pool.train_each; None for a run that diverges, the last one.

    The other runs are then interrupted, and resume from their checkpoints.
    """
    try:
        yield from pool.train_each(cells)
    except DivergedError as error:
        print(f"note: {error}", file=sys.stderr)
        diverged = [cell for cell in cells if str(error).startswith(f"{cell}: ")]
        if not diverged:
            raise
        yield diverged[0].stem, None


def say_what_is_dropped(path: Path, n_kept: int) -> None:
    n_dropped = len(read_all(path)) - n_kept
    if n_dropped:
        print(
            f"note: {path}: {n_dropped} records are for other params, another net or other "
            "images, and are dropped",
            file=sys.stderr,
        )


def record_of(
    key: Key, row: params.Row, data: params.Data, seed: int, result: CellResult | None
) -> Record:
    """Return the record of a run. result: None if it diverged."""
    if result:
        scores = result["scores"]
        wrong = np.array(scores["predictions"]) != np.array(scores["labels"])
        loss, environment = result["losses"][-1], result["environment"]
    else:
        images = dataset.load(data.mean, data.std)
        split = dataset.split(images, row.training.split, seed, data.holdout)
        wrong, loss = np.ones(len(split.val_labels)), None
        where = row.training
        environment = describe(choose_device(where.device), where.threads)
    return {
        "net": key[0],
        "lr": key[1],
        "seed": seed,
        **hashes(row, data),
        "wrong": np.flatnonzero(wrong).tolist(),
        "images": len(wrong),
        "loss": loss,
        "environment": environment,
    }


def hashes(row: params.Row, data: params.Data) -> dict[str, str]:
    """Return hashes of the params, and of the net's file together with the images.

    Not of the training code: `make same-bytes` says whether a change there matters.
    """
    return {PARAMS: params_hash(row, data), NET: plan.fingerprint({}, [row.file])}


def params_hash(row: params.Row, data: params.Data) -> str:
    """Return a hash of the params that determine the result of one seed."""
    values = (row.settings, used_parts(row.training), data.model_dump())
    return str(joblib.hash(values, hash_name="sha1"))[:16]


def used_parts(training: params.Train) -> dict[str, Any]:
    """Return the parts of a recipe that determine a result, unless they are off (0, false).

    So when the recipe gets a new part, nets that do not use it need not train again.
    """
    parts = training.model_dump(exclude={"seeds", "threads", "device"})
    return {key: value for key, value in parts.items() if value not in (0, False)}


def key_of(record: Record) -> Key:
    return record["net"], record["lr"]


def cell_of(row: params.Row, data: params.Data, seed: int) -> plan.Cell:
    return plan.with_seed(plan.cells_of(row, data)[0], seed)


def write_times(
    path: Path, rows: Mapping[str, params.Row], loaded: params.Params
) -> dict[str, Any]:
    """Measure how many seconds a training run of each row takes; write and return that.

    Estimated from a few steps, one row at a time. The machine should do nothing else.
    """
    seconds = {}
    for name, row in rows.items():
        cell = replace(cell_of(row, loaded.data, 0), stem=None)
        [seconds[name]] = pool.estimates([cell], row.training.threads)
    found = {
        "environment": describe(choose_device(loaded.train.device), loaded.train.threads),
        "seconds": seconds,
        HASHES: {name: hash_of_time(row, loaded.data) for name, row in rows.items()},
    }
    write_atomic(path, (json.dumps(found, indent=1) + "\n").encode())
    return found


def is_timed(
    times: Mapping[str, Any], name: str, row: params.Row, data: params.Data
) -> bool:
    """Say whether the times have that of this row, with these params and this net."""
    return bool(times.get(HASHES, {}).get(name) == hash_of_time(row, data))


def hash_of_time(row: params.Row, data: params.Data) -> str:
    """Return a hash of the params and of the net's file."""
    found = joblib.hash((params_hash(row, data), row.file.read_text("utf-8")))
    return str(found)[:16]


def trained_model(cell: plan.Cell, result: CellResult) -> tuple[nn.Module, dataset.Dataset]:
    """Return the net of a trained cell, and its images."""
    architecture, data = complete(cell)
    model = recipe.build_model(architecture, len(data.class_names), cell.row.settings)
    state_dict.load(model, result["model"], Path(str(cell)))
    return model, data


def correct_of(records: list[Record]) -> dict[Key, Matrix]:
    """Return for each variant: seeds × images, 1 if correct, else 0."""
    seeds: dict[Key, list[Matrix]] = {}
    for record in sorted(records, key=lambda record: record["seed"]):
        images = np.ones(record["images"])
        images[record["wrong"]] = 0
        seeds.setdefault(key_of(record), []).append(images)
    return {key: np.stack(matrices) for key, matrices in seeds.items()}
