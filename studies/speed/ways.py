"""The ways to train that are timed: the pipeline's and the notebook's."""

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
from benchmark.training.cell import Cell, fit

CORES = 2


def make_cell(loaded: params.Params, name: str, n_images: int, **settings: int) -> Cell:
    """A cell with random images: a convolution takes as long whatever it sees.

    It trains two epochs, of which the second is timed.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        256, (n_images, 3, 32, 32), generator=generator, dtype=torch.uint8
    )
    classes = loaded.data.classes
    labels = torch.randint(len(classes), (n_images,), generator=generator)
    training = recipe.training_of(loaded, name).model_copy(
        update={"epochs": 2, "threads": 1, "device": "cpu", "precision": "fp32"}
    )
    # One image to score, for only the last tenth of a whole training scores any.
    splits = images, labels, images[:1], labels[:1]
    data = Dataset(list(classes), *splits, loaded.data.mean, loaded.data.std)
    given = recipe.settings_of(loaded, name) | settings
    return Cell(recipe.find(name), given, seed=0, training=training, data=data)


def make_ways(
    cell: Cell, with_bf16: bool
) -> dict[str, tuple[Callable[[Cell], float], list[Cell]]]:
    """How each way trains, and the cells that it trains side by side."""
    seeds = [replace(cell, seed=seed) for seed in range(CORES)]
    ways: dict[str, tuple[Callable[[Cell], float], list[Cell]]] = {
        "notebook": (by_the_notebook, [cell]),
        "two_threads": (by_the_pipeline, [cell.with_training(threads=CORES)]),
        "pipeline": (by_the_pipeline, seeds),
    }
    if with_bf16:
        ways["bf16"] = by_the_pipeline, [s.with_training(precision="bf16") for s in seeds]
    return ways


def by_the_pipeline(cell: Cell) -> float:
    """Seconds of the second epoch, trained as the train stage does."""
    ends: list[float] = []

    def on_epoch_end(*_: Any) -> None:
        ends.append(time.perf_counter())

    fit(cell, progress=lambda *_, **__: on_epoch_end)
    return ends[1] - ends[0]


def by_the_notebook(cell: Cell) -> float:
    """Seconds of the second epoch, trained as the notebook does.

    A DataLoader over a list of normalized images, the default layout, as many
    threads as there are cores, activations before pooling, L2 as a term of the
    loss; the loss of every batch is read at once.
    """
    torch.set_num_threads(CORES)
    data, lr = cell.data, cell.training.lr
    made = recipe.assemble(
        cell.architecture, len(data.class_names), cell.settings, lr, cell.seed
    )
    model = pool_last(made.model)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    l2_lambda = cell.settings.get("l2_lambda")
    examples = list(zip(data.normalized(data.train_images), data.train_labels, strict=True))
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        examples,  # type: ignore[arg-type]
        batch_size=cell.training.batch_size,
        shuffle=True,
    )
    ends = []
    for _ in range(cell.training.epochs):
        total = 0.0
        for batch, labels in loader:
            loss = objective = made.loss(model(batch), labels)
            if made.penalty is not None:
                objective = loss + made.penalty()
            elif l2_lambda is not None:
                objective = loss + l2_lambda * sum(
                    p.pow(2).sum() for p in model.parameters()
                )
            optimizer.zero_grad()
            objective.backward()
            optimizer.step()
            total += loss.item()
        ends.append(time.perf_counter())
    return ends[1] - ends[0]


def pool_last(model: nn.Module) -> nn.Module:
    """The net as the chapter draws it: each max pooling after its activation."""
    traced = fx.symbolic_trace(model)

    def does(node: fx.Node, *kinds: Any) -> bool:
        module = traced.get_submodule(node.target) if node.op == "call_module" else None  # type: ignore[arg-type]
        return node.target in kinds or type(module) in kinds

    for node in list(traced.graph.nodes):
        if not does(node, torch.tanh, torch.relu, nn.Tanh, nn.ReLU):
            continue
        pooling = node.args[0]
        if (
            does(pooling, nn.functional.max_pool2d, nn.MaxPool2d)
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
