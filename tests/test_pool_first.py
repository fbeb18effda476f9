"""Nets trained with the pooling first give what they give as they are written."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.pool_first import PoolFirst
from tests.conftest import ARCHITECTURES
from tests.test_architectures import assemble, batch

ACTIVATIONS = (torch.ops.aten.tanh.default, torch.ops.aten.relu.default)


class Counting(TorchDispatchMode):
    """Counts the numbers that go through an activation, and the scalars read."""

    def __init__(self):
        super().__init__()
        self.activations = 0
        self.scalars_read = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in ACTIVATIONS:
            self.activations += args[0].numel()
        if func is torch.ops.aten._local_scalar_dense.default:
            self.scalars_read += 1
        return func(*args, **(kwargs or {}))


def outcome(model, images):
    """Output, gradients, and how many numbers were activated."""
    torch.manual_seed(3)  # for dropout
    random.seed(3)
    model.zero_grad()
    with Counting() as counted:
        output = model(images).float()  # as the training loop takes it
    output.square().sum().backward()
    return output, [p.grad.clone() for p in model.parameters()], counted.activations


def check(model, images, saved):
    """The same to the bit; as many activations as `saved` says are not computed."""
    output, gradients, activations = outcome(model, images)
    first, first_gradients, fewer = outcome(PoolFirst(model), images)
    assert type(first) is torch.Tensor
    assert torch.equal(first, output)
    for gradient, expected in zip(first_gradients, gradients, strict=True):
        assert torch.equal(gradient, expected)
    assert saved is None or activations - fewer == saved


def test_it_is_the_same_net(workplace):
    model = assemble("res_deep").model
    assert [id(p) for p in PoolFirst(model).parameters()] == [
        id(p) for p in model.parameters()
    ]
    wrapped = PoolFirst(model).eval()
    assert not model.training
    wrapped.train()
    assert all(module.training for module in model.modules())


# Three quarters of what comes before a pooling: channels × pixels of each.
SAVED = {
    "connected": 0,
    "first": 0,
    "baseline": 16 * 768 + 8 * 192,
    "l2_reg": 16 * 768 + 8 * 192,
    "l1_reg": 16 * 768 + 8 * 192,
    "width": 8 * 768 + 4 * 192,
    "dropout": 8 * 768 + 4 * 192,
    "batch_norm": 8 * 768 + 4 * 192,
    "depth": 8 * 768 + 4 * 192 + 4 * 48,
    # Its third pooling comes after the sum with the skip.
    "res": 8 * 768 + 4 * 192,
    "res_deep": 8 * 768,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_gives_the_same_to_the_bit(name):
    images, _ = batch(16)
    model = assemble(name, n_chans=8, n_blocks=2).model
    check(model, images, saved=16 * SAVED[name] if name in SAVED else None)


class Uses(nn.Module):
    """What nets may do with an activation beside pooling it."""

    def __init__(self, how):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, kernel_size=3, padding=1)
        self.how = how

    def forward(self, images):
        return self.how(self.conv(images))


def pooled_and_added(x):
    out = torch.relu(x)
    return F.max_pool2d(out + 1, 2).sum() + F.max_pool2d(out, 2)


def with_indices(x):
    pooled, indices = F.max_pool2d(torch.tanh(x), 2, return_indices=True)
    return pooled + indices


def at_random(x):
    out = torch.relu(x)
    return F.max_pool2d(out, 2) if random.random() < 0.5 else out.mean(dim=1)


USES = {
    "not pooled": (torch.tanh, 0),
    "module": (lambda x: nn.MaxPool2d(2)(nn.Tanh()(x)), 4 * 768),
    "functional relu": (lambda x: F.max_pool2d(F.relu(x), 2), 4 * 768),
    "method": (lambda x: torch.max_pool2d(x.tanh(), 2), 4 * 768),
    "in place": (lambda x: F.max_pool2d(F.relu(x, inplace=True), 2), 0),
    "in place, by name": (lambda x: nn.MaxPool2d(2)(nn.ReLU(inplace=True)(x)), 0),
    "twice activated": (lambda x: F.max_pool2d(torch.tanh(torch.relu(x)), 2), 4 * 768),
    "shape asked": (lambda x: torch.tanh(x).view(len(x), -1), 0),
    "average": (lambda x: F.avg_pool2d(torch.tanh(x), 2), 0),
    "in a list": (lambda x: torch.cat([torch.tanh(x), torch.relu(x)]), 0),
    "overlapping": (lambda x: F.max_pool2d(torch.relu(x), 3, stride=2), 4 * (1024 - 225)),
    "padded": (lambda x: F.max_pool2d(torch.tanh(x), 2, padding=1), 4 * (1024 - 289)),
    "pooled and added": (pooled_and_added, 0),
    "with indices": (with_indices, 0),
    "at random": (at_random, None),
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_whatever_is_done_with_an_activation(use):
    how, saved = USES[use]
    torch.manual_seed(0)
    model = Uses(how)
    images, _ = batch(4)
    if saved is None:
        saved = 0 if random.Random(3).random() >= 0.5 else 4 * 768
    check(model, images, saved=4 * saved)


def test_an_activation_is_computed_once():
    def twice(x):
        out = torch.tanh(x)
        return out.mean() + out.amax()

    model = Uses(twice)
    images, _ = batch(4)
    assert outcome(PoolFirst(model), images)[2] == 4 * 4 * 1024
