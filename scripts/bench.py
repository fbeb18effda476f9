"""Time the pipeline's training against the notebook's, and how its cost grows.

Everything is measured in one run and in turn, so that a machine whose speed drifts
slows all alike: what counts are the ratios. Writes docs/speed.json, from which
scripts/bench_report.py makes the table and the pictures.
"""

import argparse
import json
import multiprocessing
import os
import re
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import joblib
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from benchmark import checkpoint, dataset, errors, params, recipe, workers
from benchmark.cell import Cell, train_cell
from benchmark.environment import computes_in_bf16, describe
from benchmark.files import write_whole
from scripts import bench_report

MEASURED = Path("docs/speed.json")
CORES = 2
N_BLOCKS = (10, 30, 60, 100)
IMAGES_OF_BLOCKS = 192
N_IMAGES = (1250, 2500, 5000, 10_000)
N_SEEDS = (2, 4, 6, 8)

Measured = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way (5)")
    parser.add_argument("--images", type=int, default=1280, help="of an epoch (1280)")
    parser.add_argument(
        "--bf16", action="store_true", help="time bf16 also where the processor lacks it"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="ARCHITECTURE", help="time these, write nothing"
    )
    arguments = parser.parse_args()
    if joblib.cpu_count() < CORES:
        raise errors.UserError(f"make bench needs {CORES} cores")
    os.environ["LOKY_MAX_CPU_COUNT"] = str(CORES)
    loaded = params.load()
    names = arguments.only or list(loaded.architectures)
    for name in names:
        params.named_on_command_line(["", name], loaded)
    with_bf16 = arguments.bf16 or computes_in_bf16(torch.device("cpu"))

    measured: Measured = {
        "environment": describe(torch.device("cpu"), threads=1) | {"cores": CORES},
        "rounds": arguments.rounds,
        "images": arguments.images,
        "architectures": {},
    }
    with tqdm(names, desc="architectures", unit="net") as progress:
        for name in progress:
            progress.set_postfix_str(name)
            measured["architectures"][name] = compare_ways(
                make_cell(loaded, name, arguments.images), arguments.rounds, with_bf16
            )
    measured["growth"] = {
        "blocks": growth_in_blocks(loaded, arguments.rounds),
        "images": growth_in_images(loaded, arguments.rounds),
        "seeds": growth_in_seeds(loaded, arguments.rounds),
    }
    print(bench_report.table(measured))
    if not arguments.only:
        write_whole(MEASURED, (json.dumps(measured, indent=1) + "\n").encode())
        bench_report.write(measured)


def compare_ways(one: Cell, rounds: int, with_bf16: bool) -> Measured:
    """One architecture, each way in turn. Rates are images a second, of all processes."""
    seeds = [replace(one, seed=seed) for seed in range(CORES)]
    ways: dict[str, list[tuple[Callable[..., float], Cell]]] = {
        "notebook": [(by_the_notebook, one)],
        "two_threads": [(by_the_pipeline, replace(one, threads=CORES))],
        "pipeline": [(by_the_pipeline, each) for each in seeds],
    }
    if with_bf16:
        ways["bf16"] = [
            (by_the_pipeline, replace(each, precision="bf16")) for each in seeds
        ]
    rates: dict[str, list[float]] = {way: [] for way in ways}
    peaks: list[dict[str, float]] = []
    with ExitStack() as stack:
        # Of each way processes of its own, so that each has a peak of memory.
        processes = {
            way: [stack.enter_context(process()) for _ in tasks]
            for way, tasks in ways.items()
        }
        start_memory = sum(p.submit(peak_memory).result() for p in processes["pipeline"])
        for _ in range(rounds):
            for way, tasks in ways.items():
                running = [
                    p.submit(function, each)
                    for p, (function, each) in zip(processes[way], tasks, strict=True)
                ]
                rates[way].append(sum(len(one.images) / each.result() for each in running))
            running_peaks = [p.submit(peak_rates) for p in processes["pipeline"]]
            found = [each.result() for each in running_peaks]
            peaks.append({kind: sum(each[kind] for each in found) for kind in found[0]})
        memory = {
            way: sum(p.submit(peak_memory).result() for p in of_way)
            for way, of_way in processes.items()
        }
        spent = processes["pipeline"][0].submit(time_by_kind, one).result()
        checkpoint_seconds = processes["pipeline"][0].submit(time_to_save, one).result()
    flops = operations(one)
    return {
        "rates": rates,
        "peaks": peaks,
        "memory": memory,
        "start_memory": start_memory,
        "flops": flops,
        "time_by_kind": spent,
        "checkpoint_seconds": checkpoint_seconds,
    }


@contextmanager
def process() -> Iterator[ProcessPoolExecutor]:
    """A fresh process that does what is submitted, one after the other."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


def make_cell(loaded: params.Params, name: str, n_images: int, **settings: int) -> Cell:
    """A cell with random images: a convolution takes as long whatever it sees.

    It trains two epochs, of which the second is timed.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        256, (n_images, 3, 32, 32), generator=generator, dtype=torch.uint8
    )
    training = recipe.training_of(loaded, name).model_copy(
        update={"epochs": 2, "threads": 1, "device": "cpu", "precision": "fp32"}
    )
    n_classes = len(loaded.data.classes)
    labels = torch.randint(n_classes, (n_images,), generator=generator)
    return Cell(
        architecture=recipe.find(name),
        seed=0,
        settings=recipe.settings_of(loaded, name) | settings,
        images=images,
        labels=labels,
        # One, for only the last tenth of a whole training scores them.
        val_images=images[:1],
        val_labels=labels[:1],
        n_classes=n_classes,
        mean=loaded.data.mean,
        std=loaded.data.std,
        **training.model_dump(exclude={"seeds"}),
    )


class Stopwatch:
    """Takes the place of the progress bar and keeps when each epoch ended."""

    ends: list[float]

    def __init__(self, *_: object, **__: object) -> None:
        Stopwatch.ends = []

    def __call__(self, *_: object) -> None:
        Stopwatch.ends.append(time.perf_counter())


def quietly(cell: Cell) -> None:
    """Train with a stopwatch in place of the progress bar."""
    with patch("benchmark.cell.EpochProgress", Stopwatch):
        train_cell(cell)


def by_the_pipeline(cell: Cell) -> float:
    """Seconds of the second epoch, trained as the train stage does."""
    quietly(cell)
    return Stopwatch.ends[1] - Stopwatch.ends[0]


def by_the_notebook(cell: Cell) -> float:
    """Seconds of the second epoch, trained as the notebook does.

    A DataLoader over a list of normalized images, the default layout, as many
    threads as there are cores, activations before pooling, L2 as a term of the
    loss; the loss of every batch is read at once.
    """
    torch.set_num_threads(CORES)
    made = recipe.assemble(
        cell.architecture, cell.n_classes, cell.settings, cell.lr, cell.seed
    )
    model, penalty = made.model, made.penalty
    optimizer = torch.optim.SGD(model.parameters(), lr=cell.lr)
    if "l2_lambda" in cell.settings:
        penalty = partial(l2_penalty, model, cell.settings["l2_lambda"])
    images = dataset.normalize(cell.images, cell.mean, cell.std)
    examples = list(zip(images.unbind(), cell.labels.tolist(), strict=True))
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        examples,  # type: ignore[arg-type]
        batch_size=cell.batch_size,
        shuffle=True,
    )
    watch = Stopwatch()
    for _ in range(cell.epochs):
        total = 0.0
        for batch, labels in loader:
            loss = made.loss(model(batch), labels)
            objective = loss if penalty is None else loss + penalty()
            optimizer.zero_grad()
            objective.backward()
            optimizer.step()
            total += loss.item()
        watch()
    return Stopwatch.ends[1] - Stopwatch.ends[0]


def l2_penalty(model: nn.Module, l2_lambda: float) -> Tensor:
    return l2_lambda * torch.stack([p.pow(2).sum() for p in model.parameters()]).sum()


def peak_rates() -> dict[str, float]:
    """FLOP/s of a large matrix product and of the convolution of res_deep's blocks."""
    torch.set_num_threads(1)
    matrix = torch.randn(1024, 1024)
    features = torch.randn(64, 32, 16, 16).to(memory_format=torch.channels_last)
    kernel = torch.randn(32, 32, 3, 3).to(memory_format=torch.channels_last)

    def typical(work: Callable[[], Tensor], flops: int) -> float:
        work()
        seconds = []
        for _ in range(12):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        return flops / statistics.median(seconds)

    return {
        "matrix": typical(lambda: matrix @ matrix, 2 * 1024**3),
        "convolution": typical(
            lambda: torch.conv2d(features, kernel, padding=1),
            2 * 64 * 16 * 16 * 32 * 32 * 9,
        ),
    }


def peak_memory() -> int:
    """The most bytes that this process has held in memory so far."""
    status = Path("/proc/self/status")  # on Linux ru_maxrss starts at the parent's peak
    if status.exists():
        [peak] = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(peak) * 1024
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobyte


def operations(cell: Cell) -> dict[str, float]:
    """FLOP of training on one image, forward and backward, as torch counts them."""
    made = recipe.assemble(cell.architecture, cell.n_classes, cell.settings, cell.lr, 0)
    n_images = 8
    images = dataset.normalize(cell.images[:n_images], cell.mean, cell.std)
    with FlopCounterMode(display=False) as counter:
        made.loss(made.model(images), cell.labels[:n_images]).backward()
    counts = counter.get_flop_counts()["Global"]
    convolutions = sum(n for op, n in counts.items() if "convolution" in str(op))
    return {
        "convolution": convolutions / n_images,
        "matrix": (sum(counts.values()) - convolutions) / n_images,
    }


KINDS = {
    "convolutions": ("convolution",),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "batch norm": ("batch_norm",),
    # Its backward pass fills a tensor with zeros first.
    "pooling": ("max_pool", "aten::fill_", "aten::zero_"),
    "activations": ("tanh", "clamp_min", "threshold_backward", "relu", "softmax"),
}


def time_by_kind(cell: Cell) -> dict[str, float]:
    """The share of each kind of work in the time that torch's operations take."""
    quietly(replace(cell, epochs=1))
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        quietly(cell)
    spent: Counter[str] = Counter()
    for event in profiled.key_averages():
        kind = next(
            (k for k, words in KINDS.items() if any(w in event.key for w in words)), "rest"
        )
        spent[kind] += event.self_cpu_time_total
    return {kind: spent[kind] / spent.total() for kind in (*KINDS, "rest")}


def time_to_save(cell: Cell) -> float:
    """Seconds that a checkpoint takes after an epoch, the median of nine."""
    made = recipe.assemble(
        cell.architecture, cell.n_classes, cell.settings, cell.lr, cell.seed
    )
    resumable = checkpoint.Resumable(
        made.model, made.optimizer, None, torch.Generator(), torch.device("cpu")
    )
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(9):
            start = time.perf_counter()
            checkpoint.save(Path(folder, "one.pt"), resumable.state())
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def growth_in_blocks(loaded: params.Params, rounds: int) -> Measured:
    """Seconds an image of res_deep against its number of blocks."""
    cells = {
        n: make_cell(loaded, "res_deep", IMAGES_OF_BLOCKS, n_blocks=n) for n in N_BLOCKS
    }
    seconds: dict[int, list[float]] = {n: [] for n in cells}
    with process() as one:
        for _ in tqdm(range(min(rounds, 3)), desc="blocks", unit="round"):
            for n, cell in cells.items():
                taken = one.submit(by_the_pipeline, cell).result()
                seconds[n].append(taken / IMAGES_OF_BLOCKS)
    return in_order(seconds)


def growth_in_images(loaded: params.Params, rounds: int) -> Measured:
    """Seconds an epoch of the baseline against its number of images."""
    cells = {n: make_cell(loaded, "baseline", n) for n in N_IMAGES}
    seconds: dict[int, list[float]] = {n: [] for n in cells}
    with process() as one:
        for _ in tqdm(range(rounds), desc="images", unit="round"):
            for n, cell in cells.items():
                seconds[n].append(one.submit(by_the_pipeline, cell).result())
    return in_order(seconds)


def growth_in_seeds(loaded: params.Params, rounds: int) -> Measured:
    """Seconds of the baseline's training against its number of seeds, all told."""
    cell = replace(make_cell(loaded, "baseline", 2500), epochs=3)
    seconds: dict[int, list[float]] = {n: [] for n in N_SEEDS}
    list(workers.run_here(quietly, [cell] * CORES, threads=1))  # starts the processes
    for _ in tqdm(range(rounds), desc="seeds", unit="round"):
        for n in N_SEEDS:
            cells = [replace(cell, seed=seed) for seed in range(n)]
            start = time.perf_counter()
            list(workers.run_here(quietly, cells, threads=1))
            seconds[n].append(time.perf_counter() - start)
    return in_order(seconds)


def in_order(seconds: dict[int, list[float]]) -> Measured:
    return {"at": list(seconds), "seconds": list(seconds.values())}


if __name__ == "__main__":
    errors.run(main)
