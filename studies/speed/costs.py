"""What training costs on this machine: peaks, operations, checkpoints."""

import tempfile
from collections import Counter
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from benchmark.running import checkpoint
from benchmark.training import recipe
from benchmark.training.cell import Cell
from studies.speed.ways import by_the_pipeline

KINDS = {
    "convolutions": ("convolution",),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "batch norm": ("batch_norm",),
    # Its backward pass fills a tensor with zeros first.
    "pooling": ("max_pool", "aten::fill_", "aten::zero_"),
    "activations": ("tanh", "clamp_min", "threshold_backward", "relu", "softmax"),
}


def peak_rates(_: int = 0) -> dict[str, float]:
    """FLOP/s of a large matrix product and of the convolution of res_deep's blocks."""
    torch.set_num_threads(1)
    matrix = torch.randn(1024, 1024)
    features = torch.randn(64, 32, 16, 16).to(memory_format=torch.channels_last)
    kernel = torch.randn(32, 32, 3, 3).to(memory_format=torch.channels_last)
    work = {
        "matrix": ("matrix @ matrix", 2 * 1024**3),
        "convolution": (
            "torch.conv2d(features, kernel, padding=1)", 2 * 64 * 16 * 16 * 32 * 32 * 9
        ),
    }  # fmt: skip
    names = {"matrix": matrix, "features": features, "kernel": kernel, "torch": torch}
    return {
        kind: flops / Timer(call, globals=names).blocked_autorange(min_run_time=0.1).median
        for kind, (call, flops) in work.items()
    }


def operations(cell: Cell) -> dict[str, float]:
    """FLOP of training on one image, forward and backward, as torch counts them."""
    data, n_images = cell.data, 8
    made = recipe.assemble(
        cell.architecture, len(data.class_names), cell.settings, cell.training.lr, 0
    )
    images = data.normalized(data.train_images[:n_images])
    with FlopCounterMode(display=False) as counter:
        made.loss(made.model(images), data.train_labels[:n_images]).backward()
    counts = counter.get_flop_counts()["Global"]
    convolutions = sum(n for op, n in counts.items() if "convolution" in str(op))
    return {
        "convolution": convolutions / n_images,
        "matrix": (sum(counts.values()) - convolutions) / n_images,
    }


def time_by_kind(cell: Cell) -> dict[str, float]:
    """The share of each kind of work in the time that torch's operations take."""
    by_the_pipeline(cell)  # the first of a process also imports and allocates
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        by_the_pipeline(cell)
    spent: Counter[str] = Counter()
    for event in profiled.key_averages():
        kind = next(
            (k for k, words in KINDS.items() if any(w in event.key for w in words)), "rest"
        )
        spent[kind] += event.self_cpu_time_total
    return {kind: spent[kind] / spent.total() for kind in (*KINDS, "rest")}


def time_to_save(cell: Cell) -> float:
    """Seconds that a checkpoint takes after an epoch."""
    made = recipe.assemble(
        cell.architecture, len(cell.data.class_names), cell.settings, cell.training.lr, 0
    )
    resumable = checkpoint.Resumable(
        made.model, made.optimizer, None, torch.Generator(), torch.device("cpu")
    )
    with tempfile.TemporaryDirectory() as folder:
        names = {"save": lambda: checkpoint.save(Path(folder, "one.pt"), resumable.state())}
        return Timer("save()", globals=names).blocked_autorange(min_run_time=0.1).median
