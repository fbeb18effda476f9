"""Nets that people write: good ones pass the rehearsal, others are refused in one line."""

import random
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from benchmark import params
from benchmark.rehearsal import promises
from benchmark.rehearsal import rehearse as rehearsal
from benchmark.running.errors import UserError
from benchmark.training.plan import Cell
from benchmark.training.recipe import Architecture
from tests.conftest import COMMITTED, Clip


class Small(nn.Module):
    """A good net, from which the others differ by one method."""

    def __init__(self, n_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.out = nn.Linear(4 * 4 * 4, n_classes)

    def features(self, x):
        return F.max_pool2d(torch.relu(self.conv(x)), 8)

    def forward(self, x):
        return self.out(self.features(x).flatten(1))


def rehearse(net, recipe="annealed", n_classes=2, **parts):
    row = params.row_of(COMMITTED, "baseline")
    training = {**COMMITTED.recipes[recipe].model_dump(), "threads": 1, "device": "cpu"}
    row = replace(row, net="mine", training=params.Train.model_validate(training))
    architecture = Architecture("mine", "architectures/mine.py", net, **parts)
    cell = Cell(row, 0, COMMITTED.data.mean, COMMITTED.data.std)
    rehearsal.rehearse(cell, architecture, n_classes)


def resnet18(n_classes):
    return torchvision.models.resnet18(num_classes=n_classes)


class Attention(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        tokens = self.features(x).flatten(2).mT
        return self.out(self.attention(tokens, tokens, tokens)[0].flatten(1))


class Transformer(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def forward(self, x):
        return self.out(self.encoder(self.features(x).flatten(2).mT).flatten(1))


class Recurrent(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.lstm = nn.LSTM(96, 64, batch_first=True)

    def forward(self, x):
        return self.out(self.lstm(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1])


class WeightNorm(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.conv = parametrizations.weight_norm(self.conv)


class SpectralNorm(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.conv = parametrizations.spectral_norm(self.conv)


class TiedWeights(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.second = nn.Conv2d(3, 4, 3, padding=1)
        self.second.weight = self.conv.weight

    def features(self, x):
        return super().features(x) + F.max_pool2d(self.second(x), 8)


class Frozen(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.conv.requires_grad_(False)


class FrozenBatchNorm(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.norm = nn.BatchNorm2d(4)

    def features(self, x):
        return self.norm(super().features(x))

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


class GradientCheckpoint(Small):
    def features(self, x):
        return checkpoint(super().features, x, use_reentrant=False)


class CustomFunction(Small):
    def features(self, x):
        return Clip.apply(super().features(x))


class StochasticDepth(Small):
    def features(self, x):
        keep = torch.rand(len(x), 1, 1, 1) < 0.8 if self.training else 0.8
        return super().features(x) * keep


class KeepsActivations(Small):
    def features(self, x):
        self.last = super().features(x)
        return self.last


class CountsInABuffer(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.register_buffer("steps", torch.zeros(()))

    def features(self, x):
        if self.training:
            self.steps += 1
        return super().features(x) * (1 + 0.1 * self.steps)


class ConstantBuffer(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.register_buffer("grid", torch.linspace(0, 1, 4), persistent=False)

    def features(self, x):
        return super().features(x) + self.grid


class CumulativeBatchNorm(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.norm = nn.BatchNorm2d(4, momentum=None)

    def features(self, x):
        return self.norm(super().features(x))


class Spectrum(Small):
    def features(self, x):
        return super().features(torch.fft.fft2(x).abs().log1p())


class InPlace(Small):
    def features(self, x):
        return F.max_pool2d(self.conv(x).mul_(2).relu_(), 8)


class ZeroInitialized(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)


class ChosenAtRandomInTraining(Small):
    """A net that chooses a branch at random, and so does not use all its weights."""

    def features(self, x):
        if self.training and torch.rand(()) < 0.5:
            return F.avg_pool2d(x, 8).repeat(1, 2, 1, 1)[:, :4]
        return super().features(x)


class GhostBatchNorm(Small):
    """In training, each quarter of a batch is normalized by itself."""

    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.norm = nn.BatchNorm2d(4)

    def features(self, x):
        x = super().features(x)
        if not self.training:
            return self.norm(x)
        return torch.cat([self.norm(part) for part in x.reshape(4, -1, *x.shape[1:])])


class ComplexWeights(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.spectrum = nn.Parameter(torch.randn(4, 4, 4, dtype=torch.complex64))

    def features(self, x):
        return torch.fft.ifft2(torch.fft.fft2(super().features(x)) * self.spectrum).real


class DeepWithoutNorm(Small):
    """Needs a warm-up: the loss of its first full steps would not be finite."""

    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(30))

    def features(self, x):
        x = super().features(x)
        for block in self.blocks:
            x = x + torch.relu(block(x))
        return x


class ListOfItsLayers(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.steps = [self.conv, self.out]


GOOD = [
    GhostBatchNorm, ComplexWeights, DeepWithoutNorm, ListOfItsLayers,
    resnet18, Attention, Transformer, Recurrent, WeightNorm, SpectralNorm, TiedWeights,
    Frozen, FrozenBatchNorm, GradientCheckpoint, CustomFunction, StochasticDepth,
    KeepsActivations, CountsInABuffer, ConstantBuffer, CumulativeBatchNorm, Spectrum,
    InPlace, ZeroInitialized, ChosenAtRandomInTraining,
]  # fmt: skip


@pytest.mark.parametrize("recipe", ["train", "annealed"])
@pytest.mark.parametrize("net", GOOD)
def test_good_nets_pass(net, recipe):
    rehearse(net, recipe)
    rehearse(net, recipe, n_classes=10)


def one_cycle(optimizer, steps):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)


def restarts(optimizer, steps):
    return torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, steps // 10)


def many_steps(optimizer, steps):
    return torch.optim.lr_scheduler.StepLR(optimizer, steps // 30)


def adamw(parameters, lr):
    return torch.optim.AdamW(parameters, lr=lr)


def rmsprop(parameters, lr):
    return torch.optim.RMSprop(parameters, lr=lr, momentum=0.9)


def groups(parameters, lr):
    first, *rest = parameters
    return torch.optim.SGD([{"params": [first], "lr": lr / 10}, {"params": rest}], lr=lr)


def mean_square(outputs, labels):
    return F.mse_loss(outputs, F.one_hot(labels, outputs.shape[1]).float())


def group_lasso(parameters):
    return 0.001 * sum(p.norm() for p in parameters)


@pytest.mark.parametrize(
    "parts",
    [
        *({"optimizer": each} for each in (adamw, rmsprop, groups)),
        *({"schedule": each} for each in (one_cycle, restarts, many_steps)),
        {"optimizer": adamw, "schedule": one_cycle},
        {"loss": mean_square, "penalty": group_lasso},
    ],
)
def test_good_parts_pass(parts):
    rehearse(Small, **parts)


def steep(outputs, labels):
    """A loss that diverges with the recipe's lr, and not with a much smaller one."""
    return (10 * outputs).square().mean()


class PythonsRandom(Small):
    def features(self, x):
        return super().features(x) * (1 + random.random())


class PythonsRandomInTraining(Small):
    def features(self, x):
        return super().features(x) * (1 + self.training * random.random())


class NumpysRandomInTraining(Small):
    def features(self, x):
        return super().features(x) * (1 + self.training * np.random.rand())


class PythonsRandomWeights(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        nn.init.constant_(self.out.bias, random.random())


class Counter(Small):
    n = 0

    def features(self, x):
        self.n += self.training
        return super().features(x) * (1 + 0.1 * self.n)


class LateCounter(Small):
    n = 0

    def features(self, x):
        self.n += self.training
        return super().features(x) * (0.5 if self.n > 1000 else 1)


class Global(Small):
    calls: ClassVar = []

    def features(self, x):
        self.calls.append(len(x))
        return super().features(x) * (1 + 0.01 * self.training * len(self.calls))


class InitializedByTheFirstBatch(Small):
    scale = None

    def features(self, x):
        if self.scale is None:
            self.scale = 1 / x.std().item()
        return super().features(x * self.scale)


class PlainList(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.layers = [nn.Conv2d(3, 4, 3, padding=1)]

    def features(self, x):
        return F.max_pool2d(torch.relu(self.layers[0](x)), 8)


class RandomProjection(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.projection = torch.randn(4, 4)

    def features(self, x):
        return torch.einsum("nchw,dc->ndhw", super().features(x), self.projection)


class DropoutInEvalMode(Small):
    def features(self, x):
        return F.dropout(super().features(x), 0.5)


class StatisticsOfTheBatch(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)

    def features(self, x):
        return self.norm(super().features(x))


class ChangesTheImages(Small):
    def features(self, x):
        return super().features(x.mul_(2))


class SeedsItself(Small):
    def __init__(self, n_classes):
        torch.manual_seed(0)
        super().__init__(n_classes)


class SeedsItselfInForward(Small):
    def features(self, x):
        torch.manual_seed(0)
        return F.dropout(super().features(x), 0.5, self.training)


class ChangesThreads(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        torch.set_num_threads(2)


class WithoutOneDNN(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        torch.backends.mkldnn.set_flags(False)


class ListWithBatchNorm(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.blocks = {"first": [nn.BatchNorm2d(4)]}

    def features(self, x):
        return self.blocks["first"][0](super().features(x))


class CreatedInForward(Small):
    def features(self, x):
        if not hasattr(self, "late"):
            self.late = nn.Conv2d(3, 4, 3, padding=1)
        return F.max_pool2d(self.late(x), 8)


class NotInitialized(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.scale = nn.Parameter(torch.full((1,), torch.nan))


class ChangesPrecision(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        torch.set_float32_matmul_precision("medium")


class View(Small):
    def forward(self, x):
        return self.out(self.features(x).view(len(x), -1))


class FixedBatch(Small):
    def forward(self, x):
        return self.out(self.features(x).reshape(64, -1))


class Auxiliary(Small):
    def forward(self, x):
        return super().forward(x), 0


class OneScore(Small):
    def __init__(self, n_classes):
        super().__init__(1)


class ExtraState(Small):
    def get_extra_state(self):
        return {"k": 1}

    def set_extra_state(self, state):
        pass


class NoParameters(nn.Module):
    def __init__(self, n_classes):
        super().__init__()

    def forward(self, x):
        return x.mean((2, 3))[:, :2]


class Lazy(Small):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.out = nn.LazyLinear(n_classes)


BAD = {
    PythonsRandom: "change from call to call, because each call changes Python's random",
    PythonsRandomInTraining: "trained twice with the same seed, .* changes Python's random",
    NumpysRandomInTraining: "trained twice with the same seed, .* changes NumPy's random",
    PythonsRandomWeights: "trained twice with the same seed, it becomes two different",
    Counter: "after an interruption, .* because each call changes self.n;",
    LateCounter: r"each call changes self\.n, which no checkpoint keeps; make it a buffer",
    Global: "trained twice with the same seed",
    InitializedByTheFirstBatch: "after an interruption, training does not continue",
    PlainList: "self.layers is a plain list or dict of layers, .* use nn.ModuleList",
    RandomProjection: "a new net that loads the saved model gives different scores",
    DropoutInEvalMode: "in eval mode, .* changes torch's random numbers; use random",
    StatisticsOfTheBatch: "depend on the rest of its batch; use running",
    ChangesTheImages: "change from call to call, because each call changes the images",
    SeedsItself: "it sets torch's random seed, so all seeds would be alike",
    SeedsItselfInForward: "it sets torch's random seed",
    ChangesThreads: "it changes a global setting of torch: the number of threads; remove",
    ChangesPrecision: "it changes a global setting of torch: the matmul precision",
    WithoutOneDNN: "it changes a global setting of torch: the use of oneDNN",
    ListWithBatchNorm: "self.blocks is a plain list or dict of layers",
    CreatedInForward: "forward creates or resizes late.bias; create all layers in __init__",
    NotInitialized: "some weights are not finite numbers before training; initialize all",
    View: r"RuntimeError: view size is not compatible.* Use \.reshape",
    FixedBatch: "RuntimeError: .* shapes cannot be multiplied",
    Auxiliary: "for 20 images, the net returns a result of type tuple",
    OneScore: r"a result of shape \(20, 1\); it must be a tensor of shape \(20, 2\)",
    ExtraState: "get_extra_state: only tensors are saved with a model; use register_buf",
    NoParameters: "the net has no parameters to train",
    Lazy: "ValueError: .*uninitialized parameter",
}


@pytest.fixture
def torch_settings():
    yield
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    torch.backends.mkldnn.set_flags(True)


@pytest.mark.parametrize("net", BAD)
def test_bad_nets_are_refused_in_one_line(net, torch_settings):
    Global.calls.clear()
    with pytest.raises(UserError, match=rf"^architectures/mine\.py: .*{BAD[net]}") as error:
        rehearse(net)
    assert "\n" not in str(error.value) and "Traceback" not in str(error.value)


def test_a_loss_that_diverges_hides_nothing():
    rehearse(Small, loss=steep)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rehearsal, "GENTLE", 1.0)
        patch.setattr(promises, "same_training", lambda *_: False)
        rehearse(Small, loss=steep)  # it does diverge, so nothing more is checked
    with pytest.raises(UserError, match="becomes two different models"):
        rehearse(PythonsRandomInTraining, loss=steep)


class Remembers(torch.optim.SGD):
    """An optimizer that keeps a number where state_dict does not look."""

    n = 0

    def step(self, closure=None):
        self.n += 1
        self.param_groups[0]["lr"] = 0.1 / self.n
        return super().step(closure)


def plateau(optimizer, steps):
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)


def share_right(outputs, labels):
    return (outputs.argmax(1) == labels).float().mean()


def seeding_loss(outputs, labels):
    torch.manual_seed(1)
    return F.cross_entropy(outputs, labels)


class WarmingLoss:
    def __init__(self):
        self.n = 0

    def __call__(self, outputs, labels):
        self.n += 1
        return self.n * F.cross_entropy(outputs, labels)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"optimizer": lambda parameters, lr: torch.optim.LBFGS(parameters)},
         r"optimizer: LBFGS.step\(\) needs arguments"),
        ({"optimizer": lambda parameters, lr: Remembers(parameters, lr)},
         "after an interruption, training does not continue as before; state that changes"),
        ({"optimizer": lambda parameters, lr: None}, "AttributeError: 'NoneType'"),
        ({"schedule": plateau}, r"schedule: ReduceLROnPlateau.step\(\) needs arguments"),
        ({"loss": lambda o, y: F.cross_entropy(o, y, reduction="none")},
         r"loss returns shape \(20,\); it must return a tensor with one number"),
        ({"loss": lambda o, y: F.cross_entropy(o, y).item()}, "loss returns float"),
        ({"loss": share_right}, "the loss has no gradient"),
        ({"loss": seeding_loss}, "it sets torch's random seed"),
        ({"loss": WarmingLoss()}, "trained twice with the same seed"),
        ({"loss": F.nll_loss, "penalty": lambda parameters: [p.norm() for p in parameters]},
         "penalty returns list; it must return"),
    ],
)  # fmt: skip
def test_bad_parts_are_refused_in_one_line(parts, message):
    with pytest.raises(UserError, match=rf"^architectures/mine\.py: {message}"):
        rehearse(Small, **parts)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_rehearsal_uses_the_recipe(precision):
    seen = set()

    class Sees(Small):
        def features(self, x):
            found = super().features(x)
            if self.training and torch.is_grad_enabled():
                seen.add(found.dtype)
            return found

    row = params.row_of(COMMITTED, "baseline")
    training = row.training.model_copy(
        update={"precision": precision, "averaged_epochs": 5}
    )
    cell = Cell(replace(row, training=training), 0, COMMITTED.data.mean, COMMITTED.data.std)
    rehearsal.rehearse(cell, Architecture("mine", "architectures/mine.py", Sees), 2)
    assert (torch.bfloat16 in seen) == (precision == "bf16")
