"""The variants whose speed is measured: the pipeline's code and the notebook's."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils.data import DataLoader

from benchmark import params
from benchmark.data.dataset import Dataset
from benchmark.training import recipe
from benchmark.training.cell import complete, fit, with_training
from benchmark.training.plan import Cell

CORES = 2


def make_cell(loaded: params.Params, name: str, n_images: int, **settings: int) -> Cell:
    """Return a cell with random images and two epochs, of which the second is timed.

    The content of an image does not affect the speed.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        256, (n_images, 3, 32, 32), generator=generator, dtype=torch.uint8
    )
    classes = loaded.data.classes
    labels = torch.randint(len(classes), (n_images,), generator=generator)
    row = params.row_of(loaded, name)
    changes = {"epochs": 2, "threads": 1, "device": "cpu", "precision": "fp32"}
    # One test image: a full training run scores only its last epochs.
    splits = images, labels, images[:1], labels[:1]
    data = Dataset(list(classes), *splits, loaded.data.mean, loaded.data.std)
    row = replace(
        row,
        settings=row.settings | settings,
        training=row.training.model_copy(update=changes),
    )
    return Cell(row, 0, data.mean, data.std, data=data)


def make_variants(
    cell: Cell, with_bf16: bool
) -> dict[str, tuple[Callable[[Cell], float], list[Cell]]]:
    """Return the training function of each variant, and the cells it trains in parallel."""
    seeds = [replace(cell, seed=seed) for seed in range(CORES)]
    variants: dict[str, tuple[Callable[[Cell], float], list[Cell]]] = {
        "notebook": (train_like_notebook, [cell]),
        "two_threads": (train_like_pipeline, [with_training(cell, threads=CORES)]),
        "pipeline": (train_like_pipeline, seeds),
    }
    if with_bf16:
        variants["bf16"] = (
            train_like_pipeline,
            [with_training(s, precision="bf16") for s in seeds],
        )
    return variants


def train_like_pipeline(cell: Cell) -> float:
    """Train as the train stage does; return the seconds of the second epoch."""
    ends: list[float] = []

    def on_epoch_end(*_: Any) -> None:
        ends.append(time.perf_counter())

    fit(cell, progress=on_epoch_end)
    return ends[1] - ends[0]


def train_like_notebook(cell: Cell) -> float:
    """Train as the notebook does; return the seconds of the second epoch.

    The notebook uses a DataLoader over a list of normalized images, the default memory
    layout, all cores for one run, activations before pooling, and L2 as a term of the loss.
    It reads the loss after every batch.
    """
    torch.set_num_threads(CORES)
    architecture, data = complete(cell)
    training = cell.row.training
    setup = recipe.build_training(
        architecture, len(data.class_names), cell.row.settings, training, cell.seed
    )
    model = pool_last(setup.model)
    optimizer = torch.optim.SGD(model.parameters(), lr=training.lr)
    examples = list(zip(data.normalized(data.train_images), data.train_labels, strict=True))
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        examples,  # type: ignore[arg-type]
        batch_size=training.batch_size,
        shuffle=True,
    )
    ends = []
    for _ in range(training.epochs):
        total = 0.0
        for batch, labels in loader:
            loss = objective = setup.loss_fn(model(batch), labels)
            if setup.penalty is not None:
                objective = loss + setup.penalty()
            elif training.l2_lambda:
                objective = loss + training.l2_lambda * sum(
                    p.pow(2).sum() for p in model.parameters()
                )
            optimizer.zero_grad()
            objective.backward()
            optimizer.step()
            total += loss.item()
        ends.append(time.perf_counter())
    return ends[1] - ends[0]


def pool_last(model: nn.Module) -> nn.Module:
    """Return the net as printed in the book: each max pooling after its activation."""
    traced = fx.symbolic_trace(model)

    def calls(node: fx.Node, *kinds: Any) -> bool:
        module = traced.get_submodule(node.target) if node.op == "call_module" else None  # type: ignore[arg-type]
        return node.target in kinds or type(module) in kinds

    for node in list(traced.graph.nodes):
        if not calls(node, torch.tanh, torch.relu, nn.Tanh, nn.ReLU):
            continue
        pooling = node.args[0]
        if (
            calls(pooling, nn.functional.max_pool2d, nn.MaxPool2d)
            and len(pooling.users) == 1
        ):
            with traced.graph.inserting_after(node):
                after = traced.graph.node_copy(pooling)
            node.replace_all_uses_with(after)
            after.args = (node, *pooling.args[1:])
            node.args = (pooling.args[0],)
            traced.graph.erase_node(pooling)
    traced.recompile()
    return traced
