import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark import params
from benchmark.training import loop, recipe
from benchmark.training.scoring import accuracy, predict
from benchmark.training.step import make_step
from studies.speed.variants import pool_last
from tests.conftest import EVERY_NET, ROOT

# With n_chans 32, n_blocks 10 and two classes, as in the book's code.
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
    "modern": 1_164_450,
}
every_architecture = pytest.mark.parametrize("name", EVERY_NET)


def build_training(name, n_classes=2, seed=0, device="cpu", **sizes):
    loaded = params.load(ROOT / "params.yaml")
    row = params.row_of(loaded, name)
    settings = row.settings | {k: n for k, n in sizes.items() if k in row.settings}
    # Whatever the recipe, without momentum and with large steps, so that a few are enough.
    lr = 5 * min(row.training.lr, loaded.train.lr)
    plain = {"lr": lr, "momentum": 0, "nesterov": False, "schedule": "constant"}
    training = row.training.model_copy(update=plain | {"warmup": 0})
    return recipe.build_training(
        recipe.load_architecture(row.net), n_classes, settings, training, seed, device
    )


def train(setup, images, labels, epochs, batch_size):
    """Train a recipe in place and return the loss of every epoch."""
    return loop.train(
        setup.model,
        make_step(setup.model, setup.optimizer, setup.loss_fn, setup.penalty),
        images,
        labels,
        epochs=epochs,
        batches=loop.shuffled_batches(
            len(images), batch_size, torch.Generator().manual_seed(0)
        ),
    )


def batch(n_images=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n_images, 3, 32, 32, generator=generator)
    return images, torch.arange(n_images) % 2


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count(name):
    model = build_training(name).model
    assert recipe.n_parameters(model) == PARAMETERS[name]


@every_architecture
@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_score_per_class(name, n_classes):
    images, _ = batch()
    assert build_training(name, n_classes).model(images).shape == (8, n_classes)


@every_architecture
def test_every_parameter_has_a_finite_gradient(name):
    setup = build_training(name)
    images, labels = batch()
    setup.loss_fn(setup.model(images), labels).backward()
    for parameter_name, parameter in setup.model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None and gradient.isfinite().all(), parameter_name
        assert gradient.abs().sum() > 0, parameter_name


@every_architecture
def test_optimizer_holds_this_models_parameters(name):
    setup = build_training(name)
    held = [p for group in setup.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in setup.model.parameters()}


@every_architecture
def test_overfits_one_batch(name):
    setup = build_training(name, n_chans=8, n_blocks=3)
    images, labels = batch(16)
    train(setup, images, labels, epochs=100, batch_size=16)
    assert accuracy(predict(setup.model, images), labels) == 1


@every_architecture
def test_the_seed_determines_the_weights(name):
    first, again, other = (build_training(name, seed=seed).model for seed in (0, 0, 1))
    equal = [torch.equal(p, q) for p, q in pairs(first, again)]
    assert all(equal)
    assert not all(torch.equal(p, q) for p, q in pairs(first, other))


def pairs(one, other):
    return zip(one.state_dict().values(), other.state_dict().values(), strict=True)


@every_architecture
def test_the_weights_do_not_depend_on_the_device(name, monkeypatch):
    expected = build_training(name).model.state_dict()
    moved = []

    def to(model, device):
        moved.append((device, {k: v.clone() for k, v in model.state_dict().items()}))
        return model

    monkeypatch.setattr(nn.Module, "to", to)
    build_training(name, device="cuda")
    [(device, drawn)] = moved
    assert device == "cuda"
    assert all(torch.equal(drawn[key], value) for key, value in expected.items())


@pytest.mark.parametrize("n_blocks", [1, 10, 100])
def test_parameters_of_res_deep_grow_with_its_blocks(n_blocks):
    model = build_training("res_deep", n_blocks=n_blocks).model
    expected = 896 + n_blocks * (9_216 + 64) + 65_568 + 66
    assert recipe.n_parameters(model) == expected


# The baseline as printed in the book.
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
def test_the_books_form_of_the_baseline_is_bitwise_equal(name):
    ours = build_training(name).model
    torch.manual_seed(0)
    chapters = Modules()
    images, labels = batch(64)
    losses = [F.cross_entropy(model(images), labels) for model in (ours, chapters)]
    assert torch.equal(*losses)
    for loss in losses:
        loss.backward()
    for p, q in zip(ours.parameters(), chapters.parameters(), strict=True):
        assert torch.equal(p, q) and torch.equal(p.grad, q.grad)


def test_without_its_skip_connections_modern_has_the_same_weights():
    architecture = recipe.load_architecture("modern")
    plain, skipping = (
        recipe.build_model(architecture, 2, {"n_chans": 8, "skip": skip}).eval()
        for skip in (False, True)
    )
    skipping.load_state_dict(plain.state_dict())
    images, _ = batch(4)
    assert not torch.allclose(plain(images), skipping(images))
    for module in plain.keeping:  # with weights of 0, nothing passes through these
        module.batch_norm.weight.data.zero_()
    assert torch.equal(plain(images)[0], plain.fc.bias)


# The number of poolings after an activation in each net, if it is not 2.
POOLED = {"modern": 0, "connected": 0, "first": 0, "depth": 3, "res": 2, "res_deep": 1}


@every_architecture
def test_pooling_after_the_activation_is_bitwise_equal(name):
    ours = build_training(name, n_chans=8, n_blocks=2).model
    chapters = pool_last(build_training(name, n_chans=8, n_blocks=2).model)
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
def test_pool_last_moves_poolings_after_activations(name):
    traced = pool_last(build_training(name).model)
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
        build_training("l2_reg"), build_training("baseline"), build_training("baseline")
    )  # fmt: skip
    by_penalty = replace(by_penalty, penalty=penalty_of(by_penalty.model))
    for setup in (by_decay, by_penalty, without):
        train(setup, images, labels, epochs=5, batch_size=16)
    for decayed, penalized, plain in zip(
        *(setup.model.parameters() for setup in (by_decay, by_penalty, without)),
        strict=True,
    ):
        torch.testing.assert_close(decayed, penalized, rtol=0, atol=1e-6)
        assert (decayed - plain).abs().max() > 1e-5


def test_l1_penalty():
    setup = build_training("l1_reg")
    total = sum(p.abs().sum() for p in setup.model.parameters())
    torch.testing.assert_close(setup.penalty(), 1e-3 * total)


def test_dropout_zeroes_whole_channels_only_in_training():
    model = build_training("dropout").model
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
