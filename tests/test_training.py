import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.training import loop
from benchmark.training.step import make_step
from tests.conftest import OTHER_DEVICES


class ScalarsRead(TorchDispatchMode):
    """Counts the scalars that are read from the device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.fixture
def problem():
    """A small net with its optimizer, and 40 images with labels."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model, optimizer, torch.randn(40, 3, 4, 4), torch.arange(40) % 2


def batches_of(n_images=40, batch_size=16, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return loop.shuffled_batches(n_images, batch_size, generator)


def train(problem, batches=None, **arguments):
    model, optimizer, images, labels = problem
    kinds = {
        key: arguments.pop(key) for key in ("penalty", "precision") if key in arguments
    }
    step = make_step(model, optimizer, F.cross_entropy, **kinds)
    batches = batches or batches_of()
    return loop.train(model, step, images, labels, batches=batches, **arguments)


def all_at_once():
    return [torch.arange(40)]


def test_no_scalar_is_read_within_an_epoch(problem):
    # Reading a scalar makes the program wait for the GPU.
    with ScalarsRead() as read:
        train(
            problem, batches_of(40, 4), epochs=3, penalty=lambda: problem[0][1].bias.sum()
        )
    assert read.count == 3  # the loss of each epoch


def test_bf16_applies_only_to_the_model(problem):
    model = problem[0]
    seen = []
    model[1].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    in_fp32 = train(problem, epochs=2)
    assert set(seen) == {torch.float32}
    model.load_state_dict(start)
    seen.clear()
    in_bf16 = train(problem, epochs=2, precision="bf16")
    assert set(seen) == {torch.bfloat16}
    assert in_bf16 == pytest.approx(in_fp32, rel=0.02) and in_bf16 != in_fp32
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in model.parameters())


def test_reports_every_epoch_with_its_loss(problem):
    reported = []
    losses = train(problem, epochs=4, on_epoch_end=lambda *given: reported.append(given))
    assert reported == list(enumerate(losses, start=1))
    assert len(losses) == 4


def test_the_penalty_affects_weights_but_not_the_loss(problem):
    model, _, images, labels = problem
    first_loss = F.cross_entropy(model(images), labels).item()

    def penalty():
        return 1.0 * model[1].weight.pow(2).sum()

    losses = train(problem, all_at_once, epochs=200, penalty=penalty)
    assert losses[0] == pytest.approx(first_loss)
    assert model[1].weight.norm() < 0.3
    assert losses[-1] < 0.7


def test_the_schedule_is_stepped_after_each_batch(problem):
    optimizer = problem[1]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    train(problem, batches_of(40, 20), epochs=2, lr_scheduler=schedule)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**4)


def test_trains_in_train_mode(problem):
    model = problem[0].eval()
    train(problem, epochs=1)
    assert model.training


def test_each_epoch_is_a_new_permutation():
    batches = batches_of()
    epochs = [torch.cat(list(batches())) for _ in range(3)]
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, torch.arange(40))
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[1], epochs[2])


def test_the_last_batch_is_the_remainder():
    assert [len(batch) for batch in batches_of(40, 16)()] == [16, 16, 8]


def test_the_order_depends_only_on_the_seed():
    torch.manual_seed(1)
    one = torch.cat(list(batches_of(seed=5)()))
    torch.manual_seed(2)
    torch.rand(10)
    assert torch.equal(one, torch.cat(list(batches_of(seed=5)())))
    assert not torch.equal(one, torch.cat(list(batches_of(seed=6)())))


@pytest.mark.parametrize("device", OTHER_DEVICES)
def test_the_order_does_not_depend_on_the_device(device):
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    here, there = (
        list(loop.shuffled_batches(40, 16, generator, on)())
        for generator, on in zip(generators, ("cpu", device), strict=True)
    )
    assert {batch.device.type for batch in there} == {device}
    assert torch.equal(generators[0].get_state(), generators[1].get_state())
    if device != "meta":
        assert torch.equal(torch.cat(here), torch.cat(there).cpu())
