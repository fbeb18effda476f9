"""How fast is training, against the notebook's way, and how does its cost grow?

Everything is measured in one run and in turn, so that a machine whose speed drifts slows
all alike: what counts are the ratios. Writes docs/speed.json, and from that the table and
the pictures beside it.
"""

import json
import os
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import joblib
import torch
from tqdm import tqdm

from benchmark import params
from benchmark.running import cli, errors
from benchmark.running.files import write_whole
from benchmark.training.environment import computes_in_bf16, describe
from studies.speed import costs, page
from studies.speed.ways import CORES, by_the_pipeline, make_cell, make_ways

MEASURED = Path("docs/speed.json")
IMAGES_OF_BLOCKS = 192


def main(rounds: int, images: int, bf16: bool, only: list[str] | None) -> None:
    if joblib.cpu_count() < CORES:
        raise errors.UserError(f"make bench needs {CORES} cores")
    os.environ["LOKY_MAX_CPU_COUNT"] = str(CORES)
    loaded = params.load()
    names = only or list(loaded.architectures)
    for name in names:
        params.check_name(name, loaded)
    cpu = torch.device("cpu")
    with_bf16 = bf16 or computes_in_bf16(cpu)
    # Fresh ones, of which each task takes one: a core each.
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        measured: dict[str, Any] = {
            "environment": describe(cpu, threads=1) | {"cores": CORES},
            "rounds": rounds,
            "images": images,
            "architectures": {
                name: measure(pool, loaded, name, rounds, images, with_bf16)
                for name in tqdm(names, desc="architectures", unit="net")
            },
            "growth": growth(pool, loaded, rounds),
        }
    print(page.table(measured))
    if not only:
        write_whole(MEASURED, (json.dumps(measured, indent=1) + "\n").encode())
        page.write(measured)


def measure(
    pool: Executor,
    loaded: params.Params,
    name: str,
    rounds: int,
    images: int,
    with_bf16: bool,
) -> dict[str, Any]:
    """One architecture, each way in turn. Rates are images a second, of all processes."""
    cell = make_cell(loaded, name, images)
    ways = make_ways(cell, with_bf16)
    rates: dict[str, list[float]] = {way: [] for way in ways}
    peaks = []
    for _ in range(rounds):
        for way, (train, cells) in ways.items():
            seconds = pool.map(train, cells)
            rates[way].append(sum(images / each for each in seconds))
        found = list(pool.map(costs.peak_rates, range(CORES)))
        peaks.append({kind: sum(each[kind] for each in found) for kind in found[0]})
    return {
        "rates": rates,
        "peaks": peaks,
        "flops": costs.operations(cell),
        "time_by_kind": pool.submit(costs.time_by_kind, cell).result(),
        "checkpoint_seconds": pool.submit(costs.time_to_save, cell).result(),
    }


def growth(
    pool: Executor, loaded: params.Params, rounds: int
) -> dict[str, dict[str, list[Any]]]:
    """Seconds against blocks (an image), images (an epoch), and seeds (all of them)."""
    baseline = make_cell(loaded, "baseline", 2500)
    cells = {
        "blocks": {
            n: [make_cell(loaded, "res_deep", IMAGES_OF_BLOCKS, n_blocks=n)]
            for n in (10, 30, 60, 100)
        },
        "images": {
            n: [make_cell(loaded, "baseline", n)] for n in (1250, 2500, 5000, 10_000)
        },
        "seeds": {n: [baseline] * n for n in (2, 4, 6, 8)},
    }
    # Seeds share the cores, so what counts is how long all of them take.
    of_all = {"blocks": IMAGES_OF_BLOCKS, "images": 1, "seeds": CORES}
    seconds: dict[str, list[list[float]]] = {
        kind: [[] for _ in sizes] for kind, sizes in cells.items()
    }
    for _ in tqdm(range(rounds), desc="growth", unit="round"):
        for kind, sizes in cells.items():
            for i, each in enumerate(sizes.values()):
                taken = sum(pool.map(by_the_pipeline, each))
                seconds[kind][i].append(taken / of_all[kind])
    return {kind: {"at": list(cells[kind]), "seconds": seconds[kind]} for kind in cells}


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument("--rounds", type=int, default=5, help="turns of each way (5)"),
        cli.argument("--images", type=int, default=1280, help="of an epoch (1280)"),
        cli.argument("--bf16", action="store_true", help="even if it is slower here"),
        cli.argument("--only", nargs="+", metavar="ARCHITECTURE", help="write nothing"),
    )
