import pytest
import torch

from benchmark.training.scoring import accuracy, predict
from tests.conftest import EVERY_NET
from tests.test_architectures import batch, build_training


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", EVERY_NET)
def test_scoring_changes_nothing(name, training):
    model = build_training(name, n_blocks=2).model.train(training)
    images, _ = batch(6)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    predict(model, images)
    assert all(torch.equal(before[key], now) for key, now in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert model.training is training
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", ["dropout", "batch_norm", "res_deep"])
def test_scores_in_eval_mode(name):
    model = build_training(name, n_blocks=2).model.train()
    modes = []
    for module in model.modules():
        module.register_forward_hook(lambda module, *_: modes.append(module.training))
    images, _ = batch(16)
    predictions = predict(model, images)
    assert modes and not any(modes)
    assert torch.equal(predictions, model.eval()(images).argmax(dim=1))


def test_the_batch_size_makes_no_difference():
    model = build_training("batch_norm").model
    images, _ = batch(10)
    assert torch.equal(predict(model, images, 3), predict(model, images, 10))


def test_the_mode_is_restored_if_scoring_fails():
    model = build_training("baseline").model.train()
    with pytest.raises(RuntimeError):
        predict(model, torch.zeros(2, 1, 5, 5))
    assert model.training


def test_accuracy_is_the_share_of_correct_predictions():
    assert accuracy(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, 0])) == 0.75
