"""Training the fast way against training written out plainly."""

import io

import pytest
import torch

from benchmark import dataset, params, recipe
from benchmark.cell import Cell, train_cell
from benchmark.training import shuffled
from tests.conftest import ARCHITECTURES, ROOT

# One batch is smaller than the others.
N_IMAGES, BATCH_SIZE = 200, 64


def cell_of(name, **changes):
    loaded = params.load(ROOT / "params.yaml")
    generator = torch.Generator().manual_seed(0)
    sizes = {"n_chans": 16, "n_blocks": 3}
    settings = recipe.settings_of(loaded, name)
    training = recipe.training_of(loaded, name).model_dump(exclude={"seeds"})
    return Cell(
        architecture=recipe.find(name),
        seed=1,
        settings=settings | {key: n for key, n in sizes.items() if key in settings},
        images=torch.randint(
            256, (N_IMAGES, 3, 32, 32), generator=generator, dtype=torch.uint8
        ),
        labels=torch.randint(2, (N_IMAGES,), generator=generator),
        val_images=torch.zeros(2, 3, 32, 32, dtype=torch.uint8),
        val_labels=torch.arange(2),
        n_classes=2,
        mean=loaded.data.mean,
        std=loaded.data.std,
        **training | {"epochs": 1, "batch_size": BATCH_SIZE} | changes,
    )


def plainly(cell):
    """One epoch in the default layout, the net as it is written, an unfused SGD."""
    made = recipe.assemble(
        cell.architecture, cell.n_classes, cell.settings, cell.lr, cell.seed
    )
    for group in made.optimizer.param_groups:
        group.update(fused=False, foreach=False)
    images = dataset.normalize(cell.images, cell.mean, cell.std)
    losses = []
    order = torch.Generator().manual_seed(cell.seed)
    for batch in shuffled(len(images), cell.batch_size, order)():
        loss = made.loss(made.model(images[batch]), cell.labels[batch])
        losses.append(loss.item())
        made.optimizer.zero_grad()
        (loss if made.penalty is None else loss + made.penalty()).backward()
        made.optimizer.step()
    return sum(losses) / len(losses), made.model.state_dict()


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_same_loss_and_weights_but_for_rounding(name):
    cell = cell_of(name)
    expected, weights = plainly(cell)
    trained = train_cell(cell)
    assert trained["losses"] == pytest.approx([expected], abs=2e-6)
    made = recipe.build_model(cell.architecture, 2, cell.settings)
    made.load_state_dict(_loaded(trained["model"]))
    for key, value in made.state_dict().items():
        torch.testing.assert_close(value, weights[key], rtol=1e-4, atol=1e-5)


def _loaded(content):
    return torch.load(io.BytesIO(content), weights_only=True)


@pytest.mark.parametrize("name", ["baseline", "batch_norm", "first"])
def test_bf16_is_another_rounding(name):
    [in_fp32] = train_cell(cell_of(name))["losses"]
    [in_bf16] = train_cell(cell_of(name, precision="bf16"))["losses"]
    assert in_bf16 == pytest.approx(in_fp32, rel=0.02)
    assert in_bf16 != in_fp32
