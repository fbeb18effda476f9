"""The parts of a recipe, each by itself and all together."""

import dataclasses

import pytest
import torch
from torch import nn

from benchmark import params
from benchmark.running.errors import UserError
from benchmark.training import cell as cell_module
from benchmark.training import recipe
from benchmark.training.augmentation import augmentation
from benchmark.training.cell import complete, fit, take_average, train_cell, with_training
from benchmark.training.plan import cells
from benchmark.training.recipe import lr_factor
from benchmark.training.scoring import predict
from tests.conftest import COMMITTED
from tests.test_checkpoint import train

IMAGES = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
# Everything that the chapter's recipe does not have.
ALL = {
    "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3, "schedule": "cosine",
    "warmup": 0.2, "label_smoothing": 0.1, "l1_lambda": 1e-4, "l2_lambda": 1e-4,
    "flip": True, "crop": 4, "cutout": 8, "averaged_epochs": 2, "flip_at_test": True,
}  # fmt: skip


def sgd_of(**changes):
    training = COMMITTED.train.model_copy(update=changes)
    architecture = recipe.load_architecture("baseline")
    return recipe.build_training(architecture, 2, {}, training, seed=0, steps=10)


def test_the_optimizer_is_the_recipes():
    [group] = sgd_of(
        lr=0.5, momentum=0.8, nesterov=True, weight_decay=0.1, l2_lambda=0.2
    ).optimizer.param_groups
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.5, 0.8, True)
    assert group["weight_decay"] == pytest.approx(0.5)  # weight_decay + 2λ


def test_label_smoothing_reaches_the_loss():
    scores, labels = torch.tensor([[8.0, -8.0]]), torch.tensor([0])
    plain, smooth = (sgd_of(label_smoothing=s).loss_fn(scores, labels) for s in (0.0, 0.2))
    # A tenth of the probability is on the wrong class, whose logit is 16 lower.
    assert (smooth - plain).item() == pytest.approx(1.6, abs=1e-4)


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0.0, [1, 1, 1, 1, 1]),
        ("linear", 0.0, [1, 0.8, 0.6, 0.4, 0.2]),
        ("cosine", 0.0, [1, 0.9045, 0.6545, 0.3455, 0.0955]),
        ("constant", 0.4, [1 / 3, 2 / 3, 1, 1, 1]),
        ("linear", 0.4, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]),
    ],
)
def test_the_schedule(schedule, warmup, expected):
    factors = [lr_factor(schedule, warmup, 5, step) for step in range(5)]
    assert factors == pytest.approx(expected, abs=1e-4)
    if schedule != "constant":
        assert lr_factor(schedule, warmup, 5, 5) == 0


def test_the_schedule_is_used():
    setup = sgd_of(schedule="linear", lr=1.0)
    rates = []
    for _ in range(10):
        rates += setup.lr_scheduler.get_last_lr()
        setup.optimizer.step()
        setup.lr_scheduler.step()
    assert rates == pytest.approx([1 - step / 10 for step in range(10)])
    assert sgd_of().lr_scheduler is None


def augmented(seed=1, **parts):
    generator = torch.Generator().manual_seed(seed)
    off = {"flip": False, "crop": 0, "cutout": 0}
    return augmentation(**off | parts, generator=generator)(IMAGES)


def test_nothing_is_augmented_by_default():
    assert augmentation(False, 0, 0, torch.Generator()) is None


def test_flips_mirror_about_half_of_the_images():
    images = augmented(flip=True)
    kept = (images == IMAGES).flatten(1).all(1)
    mirrored = (images == IMAGES.flip(3)).flatten(1).all(1)
    assert torch.equal(kept, ~mirrored)
    assert 20 < mirrored.sum() < 44


def test_crops_shift_with_a_reflected_border():
    images = augmented(crop=2)
    padded = nn.functional.pad(IMAGES, (2, 2, 2, 2), mode="reflect")
    offsets = set()
    for image, source in zip(images, padded, strict=True):
        found = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(image, source[:, y : y + 32, x : x + 32])
        ]
        assert len(found) == 1
        offsets.update(found)
    assert len(offsets) > 15  # of 25


@pytest.mark.parametrize("side", [1, 8])
def test_cutout_blanks_one_square(side):
    images = augmented(cutout=side)
    blank = (images == 0).all(1)
    assert torch.equal(images[~blank[:, None].expand_as(images)],
                       IMAGES[~blank[:, None].expand_as(images)])  # fmt: skip
    areas = set()
    for each in blank:
        rows, columns = each.any(1).sum().item(), each.any(0).sum().item()
        assert each.sum() == rows * columns
        assert 1 <= max(rows, columns) <= side
        areas.add((rows, columns))
    assert (side, side) in areas
    assert side == 1 or len(areas) > 3  # some squares reach over the border


@pytest.mark.parametrize("part", [{"flip": True}, {"crop": 3}, {"cutout": 5}])
def test_the_seed_determines_the_augmentation(part):
    assert torch.equal(augmented(1, **part), augmented(1, **part))
    assert not torch.equal(augmented(1, **part), augmented(2, **part))


def test_the_layout_in_memory_is_kept():
    images = IMAGES.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(1)
    changed = augmentation(True, 4, 8, generator)(images)
    assert changed.is_contiguous(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(changed, augmentation(True, 4, 8, generator)(IMAGES))


@pytest.fixture
def small_cell(small_data):
    """A function that gives the first cell of a row, with changes to its recipe."""
    threads = torch.get_num_threads()
    yield lambda name, **changes: with_training(cells(params.load(), name)[0], **changes)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", ["batch_norm", "res_deep"])
def test_averaged_weights_are_the_mean_over_the_last_epochs(small_cell, name):
    cell = dataclasses.replace(small_cell(name, epochs=4), stem=None)
    seen = []
    averaged = []
    with pytest.MonkeyPatch.context() as patch:

        def take(model, average, images):
            seen.append([p.detach().clone() for p in model.parameters()])
            take_average(model, average, images)
            averaged.extend(p.detach().clone() for p in model.parameters())

        patch.setattr(cell_module, "take_average", take)
        trained = fit(with_training(cell, averaged_epochs=2))
    before_last = fit(with_training(cell, epochs=3)).setup.model.parameters()
    for mean, one, other in zip(averaged, seen[0], before_last, strict=True):
        torch.testing.assert_close(mean, (one + other) / 2)
    # Batch norm's statistics are those of the training images under the averaged weights.
    first = next(m for m in trained.setup.model.modules() if isinstance(m, nn.BatchNorm2d))
    inputs = []
    first.register_forward_hook(lambda module, given, output: inputs.append(given[0]))
    trained.setup.model.train()(trained.images)
    assert len(inputs) == 1
    model = fit(with_training(cell, averaged_epochs=2)).setup.model
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    torch.testing.assert_close(
        norm.running_mean, inputs[0].mean((0, 2, 3)), rtol=1e-3, atol=1e-4
    )


def test_scores_are_averaged_over_flips():
    class Half(nn.Module):
        def forward(self, images):
            left = images[:, 0, :, :16].mean((1, 2))
            return torch.stack([left, torch.full_like(left, 0.4)], dim=1)

    images = torch.zeros(2, 3, 32, 32)
    images[0, :, :, :16] = 1  # bright on the left
    images[1, :, :, 16:] = 1
    assert predict(Half(), images).tolist() == [0, 1]
    assert predict(Half(), images, flip=True).tolist() == [0, 0]


@pytest.mark.parametrize("name", ["baseline", "dropout", "res_deep"])
@pytest.mark.parametrize("split", ["official", "folds"])
def test_with_everything_on_a_run_resumes_the_same(small_cell, name, split):
    cell = small_cell(name, epochs=4, split=split, **ALL)
    whole, _ = train(dataclasses.replace(cell, stem=None))
    for last in (1, 3, 4):
        assert train(cell, interrupt_after=last)[0] is None
        torch.rand(7)
    assert train(cell) == (whole, [])
    # The last epoch is scored as the saved model is.
    scores = whole["scores"]
    pairs = zip(scores["predictions"], scores["labels"], strict=True)
    right = [one == other for one, other in pairs]
    assert whole["val_accuracies"][-1] == sum(right) / len(right)


@pytest.mark.parametrize("part", ALL)
def test_every_part_changes_the_result(small_cell, part):
    needs = {"nesterov": {"momentum": 0.9}, "warmup": {"schedule": "linear"}}
    base = dataclasses.replace(
        small_cell("baseline", epochs=3, **needs.get(part, {})), stem=None
    )
    plain, changed = train_cell(base), train_cell(with_training(base, **{part: ALL[part]}))
    if part == "flip_at_test":
        assert changed["model"] == plain["model"]
    else:
        assert changed["model"] != plain["model"]


def test_a_files_own_definitions_replace_the_recipes(small_cell):
    cell = small_cell("baseline", schedule="linear", l1_lambda=0.1)
    architecture, _ = complete(cell)
    own = dataclasses.replace(
        architecture,
        optimizer=lambda parameters, lr: torch.optim.Adam(parameters, lr=lr),
        schedule=lambda optimizer, steps: torch.optim.lr_scheduler.ConstantLR(optimizer),
        penalty=lambda parameters: torch.tensor(3.0),
        loss=lambda outputs, labels: outputs.sum(),
    )
    setup = recipe.build_training(own, 2, {}, cell.row.training, seed=0)
    assert isinstance(setup.optimizer, torch.optim.Adam)
    assert isinstance(setup.lr_scheduler, torch.optim.lr_scheduler.ConstantLR)
    assert setup.penalty().item() == 3
    assert setup.loss_fn is own.loss


def test_a_loss_that_is_not_finite_is_one_line(small_cell):
    with pytest.raises(UserError, match=r"baseline seed 0: the loss is .* with lr 1e\+38"):
        fit(dataclasses.replace(small_cell("baseline", lr=1e38), stem=None))
