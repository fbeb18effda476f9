"""The fast training loop gives the same results as a plain one."""

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark import params
from benchmark.data import dataset
from benchmark.training import recipe, state_dict
from benchmark.training.cell import train_cell, with_training
from benchmark.training.loop import shuffled_batches
from benchmark.training.plan import Cell
from studies.speed.variants import pool_last
from tests.conftest import EVERY_NET, ROOT, Clip

# One batch is smaller than the others.
N_IMAGES, BATCH_SIZE = 200, 64


def cell_of(name, **changes):
    loaded = params.load(ROOT / "params.yaml")
    generator = torch.Generator().manual_seed(0)
    row = params.row_of(loaded, name)
    sizes = {"n_chans": 16, "n_blocks": 3}
    sizes = {key: size for key, size in sizes.items() if key in row.settings}
    data = dataset.Dataset(
        ["airplane", "bird"],
        torch.randint(256, (N_IMAGES, 3, 32, 32), generator=generator, dtype=torch.uint8),
        torch.randint(2, (N_IMAGES,), generator=generator),
        torch.zeros(2, 3, 32, 32, dtype=torch.uint8),
        torch.arange(2),
        loaded.data.mean,
        loaded.data.std,
    )
    row = replace(row, settings=row.settings | sizes)
    architecture = recipe.load_architecture(row.net)
    cell = Cell(row, 1, data.mean, data.std, architecture=architecture, data=data)
    # A small lr, so that rounding differences stay small.
    usual = {"epochs": 1, "batch_size": BATCH_SIZE, "lr": 0.003, "split": "official"}
    usual |= {"flip": False, "crop": 0, "precision": "fp32"}  # plainly() has none of these
    return with_training(cell, **usual | changes)


def plainly(cell, rewrite=pool_last):
    """Train one epoch: default memory layout, pooling last as in the book, unfused SGD."""
    setup = recipe.build_training(
        cell.architecture, 2, cell.row.settings, cell.row.training, cell.seed,
        steps=math.ceil(N_IMAGES / cell.row.training.batch_size),
    )  # fmt: skip
    model = rewrite(setup.model)
    for group in setup.optimizer.param_groups:
        group.update(fused=False, foreach=False)
    images = cell.data.normalized(cell.data.train_images)
    losses = []
    order = torch.Generator().manual_seed(cell.seed)
    for batch in shuffled_batches(len(images), cell.row.training.batch_size, order)():
        loss = setup.loss_fn(model(images[batch]), cell.data.train_labels[batch])
        losses.append(loss.item())
        setup.optimizer.zero_grad()
        (loss if setup.penalty is None else loss + setup.penalty()).backward()
        setup.optimizer.step()
        if setup.lr_scheduler:
            setup.lr_scheduler.step()
    return sum(losses) / len(losses), setup.model.state_dict()


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", EVERY_NET)
def test_the_same_loss_and_weights_up_to_rounding(name):
    cell = cell_of(name)
    expected, weights = plainly(cell)
    trained = train_cell(cell)
    assert trained["losses"] == pytest.approx([expected], abs=2e-6, rel=1e-6)
    setup = recipe.build_model(cell.architecture, 2, cell.row.settings)
    state_dict.load(setup, trained["model"], Path(name))
    for key, value in setup.state_dict().items():
        torch.testing.assert_close(value, weights[key], rtol=1e-4, atol=1e-5)


def through_a_function(x):
    return F.max_pool2d(Clip.apply(torch.tanh(x)), 2)


def source_changed_in_place(x):
    activated = torch.relu(x)
    return F.max_pool2d(activated, 2) + 0 * x.mul_(2)[..., ::2, ::2]


@pytest.mark.parametrize("activate", [through_a_function, source_changed_in_place])
def test_the_net_is_trained_as_written(activate):
    class Net(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1)
            self.linear = nn.Linear(8 * 16 * 16, n_classes)

        def forward(self, images):
            return self.linear(activate(self.conv(images)).flatten(1))

    cell = cell_of("baseline", lr=0.1)
    cell = replace(cell, architecture=replace(cell.architecture, net=Net))
    expected, weights = plainly(cell, rewrite=lambda model: model)
    trained = train_cell(cell)
    assert trained["losses"] == pytest.approx([expected], abs=2e-6)
    state = torch.load(io.BytesIO(trained["model"]), weights_only=True)
    for key, value in state.items():
        torch.testing.assert_close(value, weights[key], rtol=1e-4, atol=1e-5)
