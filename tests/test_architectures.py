import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark import params
from benchmark.training import loop, recipe
from benchmark.training.scoring import accuracy, predict
from studies.speed.ways import pool_last
from tests.conftest import ARCHITECTURES, ROOT

# With n_chans 32, n_blocks 10 and two classes, as the chapter's code gives them.
PARAMETERS = {
    "connected": 3_737_474,
    "first": 1_574_402,
    "baseline": 18_090,
    "width": 38_386,
    "l2_reg": 18_090,
    "l1_reg": 18_090,
    "dropout": 38_386,
    "batch_norm": 38_482,
    "depth": 16_130,
    "res": 16_130,
    "res_deep": 159_330,
}
every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


def assemble(name, n_classes=2, seed=0, device="cpu", **sizes):
    loaded = params.load(ROOT / "params.yaml")
    settings = recipe.settings_of(loaded, name)
    settings |= {key: size for key, size in sizes.items() if key in settings}
    # Five times the benchmark's, so that a few steps are enough.
    lr = 5 * recipe.training_of(loaded, name).lr
    return recipe.assemble(recipe.find(name), n_classes, settings, lr, seed, device)


def train(made, images, labels, epochs, batch_size):
    """Train a recipe in place and return the loss of every epoch."""
    return loop.train(
        made.model,
        made.optimizer,
        images,
        labels,
        epochs=epochs,
        order=loop.shuffled(len(images), batch_size, torch.Generator().manual_seed(0)),
        loss=made.loss,
        penalty=made.penalty,
    )


def batch(n_images=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n_images, 3, 32, 32, generator=generator)
    return images, torch.arange(n_images) % 2


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count(name):
    model = assemble(name).model
    assert recipe.n_parameters(model) == PARAMETERS[name]


@every_architecture
@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_score_a_class(name, n_classes):
    images, _ = batch()
    assert assemble(name, n_classes).model(images).shape == (8, n_classes)


@every_architecture
def test_every_parameter_has_a_finite_gradient(name):
    made = assemble(name)
    images, labels = batch()
    made.loss(made.model(images), labels).backward()
    for parameter_name, parameter in made.model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None and gradient.isfinite().all(), parameter_name
        assert gradient.abs().sum() > 0, parameter_name


@every_architecture
def test_optimizer_holds_this_models_parameters(name):
    made = assemble(name)
    held = [p for group in made.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in made.model.parameters()}


@every_architecture
def test_overfits_one_batch(name):
    made = assemble(name, n_chans=8, n_blocks=3)
    images, labels = batch(16)
    train(made, images, labels, epochs=100, batch_size=16)
    assert accuracy(predict(made.model, images), labels) == 1


@every_architecture
def test_a_seed_gives_the_same_weights_each_time_and_another_seed_others(name):
    first, again, other = (assemble(name, seed=seed).model for seed in (0, 0, 1))
    equal = [torch.equal(p, q) for p, q in pairs(first, again)]
    assert all(equal)
    assert not all(torch.equal(p, q) for p, q in pairs(first, other))


def pairs(one, other):
    return zip(one.state_dict().values(), other.state_dict().values(), strict=True)


@every_architecture
def test_the_weights_do_not_depend_on_the_device(name, monkeypatch):
    expected = assemble(name).model.state_dict()
    moved = []

    def to(model, device):
        moved.append((device, {k: v.clone() for k, v in model.state_dict().items()}))
        return model

    monkeypatch.setattr(nn.Module, "to", to)
    assemble(name, device="cuda")
    [(device, drawn)] = moved
    assert device == "cuda"
    assert all(torch.equal(drawn[key], value) for key, value in expected.items())


@pytest.mark.parametrize("n_blocks", [1, 10, 100])
def test_parameters_of_res_deep_grow_with_its_blocks(n_blocks):
    model = assemble("res_deep", n_blocks=n_blocks).model
    expected = 896 + n_blocks * (9_216 + 64) + 65_568 + 66
    assert recipe.n_parameters(model) == expected


# As the chapter writes the baseline.
class Modules(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, padding=1)
        self.act1 = nn.Tanh()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 8, kernel_size=3, padding=1)
        self.act2 = nn.Tanh()
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(8 * 8 * 8, 32)
        self.act3 = nn.Tanh()
        self.fc2 = nn.Linear(32, 2)

    def forward(self, images):
        out = self.pool1(self.act1(self.conv1(images)))
        out = self.pool2(self.act2(self.conv2(out)))
        return self.fc2(self.act3(self.fc1(out.view(-1, 8 * 8 * 8))))


@pytest.mark.parametrize("name", ["baseline", "l2_reg", "l1_reg"])
def test_the_chapters_form_of_the_baseline_is_equal_to_the_bit(name):
    ours = assemble(name).model
    torch.manual_seed(0)
    chapters = Modules()
    images, labels = batch(64)
    losses = [F.cross_entropy(model(images), labels) for model in (ours, chapters)]
    assert torch.equal(*losses)
    for loss in losses:
        loss.backward()
    for p, q in zip(ours.parameters(), chapters.parameters(), strict=True):
        assert torch.equal(p, q) and torch.equal(p.grad, q.grad)


# How many poolings each net of the chapter has after an activation.
POOLED = {"connected": 0, "first": 0, "depth": 3, "res": 2, "res_deep": 1}


@every_architecture
def test_pooling_after_the_activation_as_the_chapter_does_is_the_same_to_the_bit(name):
    ours = assemble(name, n_chans=8, n_blocks=2).model
    chapters = pool_last(assemble(name, n_chans=8, n_blocks=2).model)
    images, labels = batch(16)
    losses = []
    for model in (ours, chapters):
        torch.manual_seed(3)  # for dropout
        losses.append(F.cross_entropy(model(images), labels))
        losses[-1].backward()
    assert torch.equal(*losses)
    for p, q in zip(ours.parameters(), chapters.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


@pytest.mark.parametrize("name", PARAMETERS)
def test_as_the_chapter_draws_it_activations_come_before_poolings(name):
    traced = pool_last(assemble(name).model)
    kinds = {key: type(module).__name__ for key, module in traced.named_modules()}
    steps = [
        kinds.get(node.target, getattr(node.target, "__name__", "")).lower()
        for node in traced.graph.nodes
    ]
    activated = [
        before
        for before, step in itertools.pairwise(steps)
        if "pool" in step or step == "boolean_dispatch"
        if before in ("tanh", "relu")
    ]
    assert len(activated) == POOLED.get(name, 2)


def test_weight_decay_is_the_l2_penalty():
    images, labels = batch(64)

    def penalty_of(model):
        return lambda: 1e-3 * sum(p.pow(2).sum() for p in model.parameters())

    by_decay, by_penalty, without = (
        assemble("l2_reg"), assemble("baseline"), assemble("baseline")
    )  # fmt: skip
    by_penalty = replace(by_penalty, penalty=penalty_of(by_penalty.model))
    for made in (by_decay, by_penalty, without):
        train(made, images, labels, epochs=5, batch_size=16)
    for decayed, penalized, plain in zip(
        *(made.model.parameters() for made in (by_decay, by_penalty, without)), strict=True
    ):
        torch.testing.assert_close(decayed, penalized, rtol=0, atol=1e-6)
        assert (decayed - plain).abs().max() > 1e-5


def test_l1_penalty():
    made = assemble("l1_reg")
    total = sum(p.abs().sum() for p in made.model.parameters())
    torch.testing.assert_close(made.penalty(), 1e-3 * total)


def test_dropout_leaves_out_whole_channels_while_training_only():
    model = assemble("dropout").model
    model.conv1.weight.data.zero_()
    model.conv1.bias.data.fill_(1)
    seen = []
    model.conv1_dropout.register_forward_hook(lambda *a: seen.append(a[2].detach()))
    images, _ = batch(64)
    model.train()(images)
    model.eval()(images)
    dropped = (seen[0] == 0).flatten(2)
    assert torch.equal(dropped.all(2), dropped.any(2))
    assert 0.35 < dropped.all(2).float().mean() < 0.45
    assert (seen[1] != 0).all()
