"""Wrong values in params.yaml are reported before any work starts."""

import re
from importlib import import_module

import pytest
import torch

from benchmark import check, params
from benchmark.running import errors
from benchmark.training import recipe
from tests.conftest import ARCHITECTURES, ROOT, YAML_SAFE, edit_params, run

STAGES = list(YAML_SAFE.load(ROOT / "dvc.yaml")["stages"])


def load_and_check():
    check.check_nets(params.load())


WRONG = [
    ("train.lr", 0, "0 is not allowed: .*greater than 0"),
    ("train.lr", float("nan"), "nan is not allowed: .*finite"),
    ("train.lr", "fast", "'fast' is not allowed: .*number"),
    ("train.epochs", 0, "0 is not allowed: .*greater than or equal to 1"),
    ("train.epochs", True, "True is not allowed: .*integer"),
    ("train.device", "tpu", "'tpu' .*'cpu', 'cuda', 'mps' or 'auto'"),
    ("train.speed", 1, "unknown; the allowed keys are lr, epochs, batch_size"),
    ("train", None, "None is not allowed"),
    ("model.n_chans", 1, "1 .*greater than or equal to 2"),
    ("data.source", "mnist", "'mnist' .*'cifar10' or 'synthetic'"),
    ("data.classes", ["bird"], ".*at least 2"),
    ("data.classes", ["bird", "bird"], ".*only once"),
    ("extra", 1, "unknown; the allowed keys are data, model, train, architectures"),
    ("architectures.kite", {"sized_by": "model"}, "there is no .*res"),
    ("architectures.dropout.p", 1, "1 .*less than 1"),
    ("architectures.dropout.p", "half", "'half' .*a finite number"),
    ("architectures.dropout.q", 0.1, "unknown; the allowed keys are sized_by, p, lr"),
]
ELSEWHERE = [
    ({"data.classes": ["airplane", "kite"]}, "data.classes.1: 'kite' .*'airplane'"),
    ({"data.std": [0.5, 0, 0.5]}, "data.std.1: 0 .*greater than 0"),
    ({"data.mean": [125, 123, 114]}, "data.mean.0: 125 .*less than or equal to 1"),
    (
        {"data.source": "synthetic", "data.classes": ["cat", "dog"]},
        "only airplane and bird",
    ),
    ({"architectures.width": {}}, "architectures.width.sized_by: missing"),
    ({"architectures.width.sized_by": "model"}, "width.sized_by: .*write model.n_chans"),
    ({"architectures.l2_reg": {"sized_by": "data.classes"}}, "l2_reg.l2_lambda: missing"),
    ({"architectures": {}}, "baseline is missing"),
]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({key: value}, f"{re.escape(key)}: {said}") for key, value, said in WRONG),
        *ELSEWHERE,
    ],
)
def test_a_wrong_value_is_one_line_with_its_key(workplace, changes, message):
    edit_params(workplace, changes)
    with pytest.raises(errors.UserError, match=rf"^params\.yaml: .*{message}") as raised:
        load_and_check()
    assert "\n" not in str(raised.value)


SECTIONS = [params.Params, params.Data, params.Synthetic, params.Model, params.Train]


@pytest.mark.parametrize("section", SECTIONS)
def test_no_key_has_a_default(section):
    assert all(field.is_required() for field in section.model_fields.values())


def test_small_numbers_in_dvcs_format(workplace):
    text = (workplace / "params.yaml").read_text()
    (workplace / "params.yaml").write_text(text.replace("lr: 0.01\n", "lr: 1e-05\n"))
    assert params.load().train.lr == 1e-5


def test_cuda_without_a_gpu(workplace, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    edit_params(workplace, {"train.device": "cuda"})
    with pytest.raises(errors.UserError, match=r"train.device: 'cuda' is not available"):
        params.load()


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_checks_the_params_before_any_work(workplace, stage):
    edit_params(workplace, {"train.lr": -1})
    given = ["baseline"] if stage in ("train", "validate") else []
    with pytest.raises(errors.UserError, match=r"train\.lr: -1 is not allowed"):
        import_module(f"stages.{stage}").main(*given)
    assert not (workplace / "data").exists() and not (workplace / "models").exists()


@pytest.mark.slow
def test_check_builds_every_net(workplace):
    printed = run("python", "-m", "scripts.check", cwd=workplace, PYTHONPATH=str(ROOT))
    assert printed == f"params.yaml: {len(ARCHITECTURES)} nets, no problems found\n"


@pytest.mark.slow
def test_check_reports_a_broken_net(workplace):
    (workplace / "architectures" / "mine.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, n_classes: int):\n"
        "        super().__init__(nn.Conv2d(3, 8, 3), nn.Linear(5, n_classes))\n"
    )
    edit_params(workplace, {"architectures.mine": {"sized_by": "data.classes"}})
    printed = run(
        *["python", "-m", "scripts.check"],
        cwd=workplace, check=False, PYTHONPATH=f"{workplace}:{ROOT}",
    )  # fmt: skip
    assert printed.startswith("error: architectures/mine.py: RuntimeError: ")
    assert len(printed.splitlines()) == 1


def test_an_entry_overrides_train(workplace):
    edit_params(workplace, {"architectures.res_deep.epochs": 7})
    loaded = params.load()
    deep, wide = (recipe.training_of(loaded, name) for name in ("res_deep", "width"))
    assert (deep.lr, deep.epochs) == (0.003, 7)
    assert (wide.lr, wide.epochs) == (0.01, 100)
    assert recipe.settings_of(loaded, "res_deep") == {"n_chans": 32, "n_blocks": 10}
    assert recipe.settings_of(loaded, "dropout") == {"n_chans": 32, "p": 0.4}
    assert recipe.settings_of(loaded, "baseline") == {}
