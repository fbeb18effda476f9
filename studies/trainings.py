"""Train rows in variants that the table does not have, and keep what they score.

Records are JSON objects: the net, the learning rate, the seed, a hash of everything in
params.yaml that its training depends on, and one of the net's file and the images; the
images that the model got wrong, the last training loss, and the environment. They are
written after each run, so a study can resume.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from benchmark import params, pool
from benchmark.running.files import write_atomic
from benchmark.running.finished import CellResult
from benchmark.stats.uncertainty import Matrix
from benchmark.training import plan

Record = dict[str, Any]
# A net and a learning rate.
Key = tuple[str, float]


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
) -> list[Record]:
    """Train every variant with every seed, unless `path` has its record already.

    path: a JSON file, which gets the new records. Records for other params, another
    net or other images are dropped. at_once: how many seeds to train side by side.
    """
    records = read(path, variants, data)
    # One batch of seeds after another, so that all variants advance alike.
    for batch in (seeds[i : i + at_once] for i in range(0, len(seeds), at_once)):
        runs = [(key, seed) for seed in batch for key in variants]
        records = train_runs(path, variants, data, runs)
    return records


def read(path: Path, variants: Mapping[Key, params.Row], data: params.Data) -> list[Record]:
    """Return the records of these variants, but none for other params, net or images."""
    stored: list[Record] = json.loads(path.read_text()) if path.exists() else []
    expected = {key: hashes(row, data) for key, row in variants.items()}
    # Records of former versions have no hash of the net's file.
    return [
        record
        for record in stored
        if key_of(record) in expected
        and all(record.get(k, v) == v for k, v in expected[key_of(record)].items())
    ]


def train_runs(
    path: Path,
    variants: Mapping[Key, params.Row],
    data: params.Data,
    runs: Sequence[tuple[Key, int]],
) -> list[Record]:
    """Train these variants and seeds side by side; return all records of the variants."""
    records = read(path, variants, data)
    known = {(key_of(record), record["seed"]) for record in records}
    missing = [run for run in runs if run not in known]
    cells = [cell_of(variants[key], data, seed) for key, seed in missing]
    # Variants that are trained in the same way share a cell.
    sharing: dict[Path | None, list[tuple[Key, int]]] = {}
    for cell, run in zip(cells, missing, strict=True):
        sharing.setdefault(cell.stem, []).append(run)
    order = {key: i for i, key in enumerate(variants)}
    for stem, result in pool.train_each(cells):
        records += [record_of(key, variants[key], data, result) for key, _ in sharing[stem]]
        records.sort(key=lambda record: (record["seed"], order[key_of(record)]))
        write_atomic(path, json.dumps(records).encode())
    return records


def record_of(key: Key, row: params.Row, data: params.Data, result: CellResult) -> Record:
    scores = result["scores"]
    wrong = np.array(scores["predictions"]) != np.array(scores["labels"])
    return {
        "net": key[0],
        "lr": key[1],
        "seed": result["seed"],
        **hashes(row, data),
        "wrong": np.flatnonzero(wrong).tolist(),
        "images": len(wrong),
        "loss": result["losses"][-1],
        "environment": result["environment"],
    }


def hashes(row: params.Row, data: params.Data) -> dict[str, str]:
    """Return hashes of the params, and of the net's file together with the images.

    Not of the training code: `make same-bytes` says whether a change there matters.
    """
    net = plan.fingerprint({}, [row.file])
    return {"params": params_hash(row, data), "net_and_images": net}


def params_hash(row: params.Row, data: params.Data) -> str:
    """Return a hash of the params that determine the result of one seed."""
    training = row.training.model_dump(exclude={"seeds", "threads", "device"})
    found = joblib.hash((row.settings, training, data.model_dump()), hash_name="sha1")
    return str(found)[:16]


def key_of(record: Record) -> Key:
    return record["net"], record["lr"]


def cell_of(row: params.Row, data: params.Data, seed: int) -> plan.Cell:
    return plan.with_seed(plan.cells_of(row, data)[0], seed)


def correct_of(records: list[Record]) -> dict[Key, Matrix]:
    """Return for each variant: seeds × images, 1 if correct, else 0."""
    seeds: dict[Key, list[Matrix]] = {}
    for record in sorted(records, key=lambda record: record["seed"]):
        images = np.ones(record["images"])
        images[record["wrong"]] = 0
        seeds.setdefault(key_of(record), []).append(images)
    return {key: np.stack(matrices) for key, matrices in seeds.items()}
