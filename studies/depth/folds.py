"""The annealed recipe with 1 to 100 blocks: docs/depth/rates.json and folds.json.

Each depth gets the learning rate that is best on held-out training images. Then it is
trained and tested in six folds, as in the table.
"""

from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

import numpy as np

from benchmark import params
from benchmark.stats.uncertainty import Matrix
from studies import trainings
from studies.depth import FOLDER, PRECISION
from studies.trainings import Key, Record

RATES, FOLDS = FOLDER / "rates.json", FOLDER / "folds.json"
ROW = "res_deep_annealed"
DEPTHS = (1, 2, 5, 10, 20, 50, 100)
# Which rate each depth tries first. Then its neighbours in GRID are tried.
FIRST = dict(zip(DEPTHS, (0.08, 0.04, 0.02, 0.02, 0.01, 0.005, 0.002), strict=True))
GRID = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16)
HOLDOUT = 0.2
# The best rate must stay the best with this many seeds: in a very deep net, the same rate
# can work with one seed and fail with the next.
SEEDS_OF_BEST = 3


class Depth(NamedTuple):
    """A depth, trained with its own rate.

    correct: folds × images, 1 if correct, else 0. losses: the last training loss, by fold;
    NaN if it was not finite.
    """

    blocks: int
    rate: float
    correct: Matrix
    losses: Matrix


def train(loaded: params.Params) -> tuple[list[Record], list[Record]]:
    """Return the records of the rates and of the folds; train those that are missing."""
    rates = choose_rates(loaded)
    best = best_rates(rates)
    variants = {(name_of(n), best[n]): variant(loaded, n, best[n], "folds") for n in DEPTHS}
    n_folds = params.row_of(loaded, ROW).training.seeds
    folds = trainings.train(FOLDS, variants, loaded.data, range(n_folds), at_once=n_folds)
    return rates, folds


def choose_rates(loaded: params.Params) -> list[Record]:
    """Try learning rates on held-out training images, until each depth has a best one."""
    data = loaded.data.model_copy(update={"holdout": HOLDOUT})
    variants = {
        (name_of(n), rate): variant(loaded, n, rate, "official")
        for n in DEPTHS
        for rate in GRID
    }
    records = trainings.read(RATES, variants, data)
    while runs := missing(records):
        records = trainings.train_runs(RATES, variants, data, runs)
    return records


def variant(loaded: params.Params, blocks: int, rate: float, split: str) -> params.Row:
    sizes = loaded.model.model_copy(update={"n_blocks": blocks})
    row = params.row_of(loaded.model_copy(update={"model": sizes}), ROW)
    changes = {"lr": rate, "split": split, "precision": PRECISION}
    training = row.training.model_copy(update=changes)
    return replace(row, name=f"{name_of(blocks)} with lr {rate}", training=training)


def name_of(blocks: int) -> str:
    return f"{blocks} block{'s' if blocks > 1 else ''}"


def missing(records: list[Record]) -> list[tuple[Key, int]]:
    """Return the runs that the choice of a rate still needs; empty if it is made.

    The best rate so far and both its neighbours need a run each. After that, the best one
    needs SEEDS_OF_BEST runs, and must still be the best.
    """
    tried = accuracies(records)
    known = {(trainings.key_of(record), record["seed"]) for record in records}
    runs: list[tuple[Key, int]] = []
    for blocks in DEPTHS:
        rates = tried.get(blocks, {})
        best = max(rates, key=lambda rate: fmean(rates[rate]), default=FIRST[blocks])
        i = GRID.index(best)
        untried = [rate for rate in GRID[max(0, i - 1) : i + 2] if rate not in rates]
        wanted = [(rate, 0) for rate in untried]
        if not untried:
            wanted = [(best, seed) for seed in range(SEEDS_OF_BEST)]
        runs += [((name_of(blocks), rate), seed) for rate, seed in wanted]
    return [run for run in runs if run not in known]


def best_rates(records: list[Record]) -> dict[int, float]:
    """Return the best rate of each depth, by its mean accuracy on held-out images."""
    return {
        blocks: max(rates, key=lambda rate: fmean(rates[rate]))
        for blocks, rates in accuracies(records).items()
    }


def accuracies(records: list[Record]) -> dict[int, dict[float, list[float]]]:
    """Return by depth and rate the accuracy of each run."""
    found: dict[int, dict[float, list[float]]] = {}
    by_name = {name_of(n): n for n in DEPTHS}
    for (name, rate), correct in trainings.correct_of(records).items():
        found.setdefault(by_name[name], {})[rate] = correct.mean(axis=1).tolist()
    return {n: dict(sorted(found[n].items())) for n in DEPTHS if n in found}


def depths(records: list[Record], best: Mapping[int, float]) -> list[Depth]:
    """Return what the records of the folds say about each depth, the shallowest first."""
    correct = trainings.correct_of(records)
    losses: dict[Key, list[float | None]] = {}
    for record in sorted(records, key=lambda record: record["seed"]):
        losses.setdefault(trainings.key_of(record), []).append(record["loss"])
    found = []
    for blocks, rate in best.items():
        key = name_of(blocks), rate
        found.append(Depth(blocks, rate, correct[key], np.array(losses[key], float)))
    return found
