"""Train rows in variants that the table does not have, and keep what they score.

Records are JSON objects: the net, the learning rate, the seed, a hash of everything in
params.yaml that its training depends on, the images that the model got wrong, and the
environment. They are written after each seed, so a study can resume.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from benchmark import params, pool
from benchmark.running.files import write_atomic
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

    path: a JSON file, which gets the new records. Records for other params are dropped.
    at_once: after how many seeds to write the records.
    """
    hashes = {key: params_hash(row, data) for key, row in variants.items()}
    stored: list[Record] = json.loads(path.read_text()) if path.exists() else []
    records = [r for r in stored if hashes.get(key_of(r)) == r.get("params")]
    known = {(*key_of(record), record["seed"]) for record in records}
    # One batch of seeds after another, so that all variants advance alike.
    for batch in (seeds[i : i + at_once] for i in range(0, len(seeds), at_once)):
        missing = [
            (key, seed) for seed in batch for key in variants if (*key, seed) not in known
        ]
        cells = [cell_of(variants[key], data, seed) for key, seed in missing]
        for (key, seed), result in zip(missing, pool.train(cells), strict=True):
            scores = result["scores"]
            wrong = np.array(scores["predictions"]) != np.array(scores["labels"])
            records.append(
                {
                    "net": key[0],
                    "lr": key[1],
                    "seed": seed,
                    "params": hashes[key],
                    "wrong": np.flatnonzero(wrong).tolist(),
                    "images": len(wrong),
                    "environment": result["environment"],
                }
            )
        write_atomic(path, json.dumps(records).encode())
    return records


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
