"""Wrong values in params.yaml are reported before any work starts."""

import re
from importlib import import_module

import pytest
import torch

from benchmark import check, params
from benchmark.running import errors
from tests.conftest import ROOT, ROWS, YAML_SAFE, edit_params, run

STAGES = list(YAML_SAFE.load(ROOT / "dvc.yaml")["stages"])


def load_and_check():
    check.check_rows(params.load())


ROW = {"net": "baseline", "recipe": "train", "sized_by": "data.classes"}
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
    (
        "extra",
        1,
        "unknown; the allowed keys are data, model, compare, train, rows, and",
    ),
    (
        "nets",
        {"n_chans": 32},
        "unknown; the allowed keys are data, model, compare, train, rows",
    ),
    ("annealed.speed", 1, "unknown; the allowed keys are lr, epochs, batch_size"),
    ("annealed.schedule", "sine", "'sine' .*'constant', 'linear' or 'cosine'"),
    ("annealed.split", "half", "'half' .*'official' or 'folds'"),
    ("rows.my-net", ROW, "not a Python name"),
    ("rows.baseline.table", "../x", "'../x' is not allowed: .*pattern"),
    ("rows.baseline.table", "annealed", "'annealed' is a recipe, which has a table of its"),
    ("rows.baseline.epochs", "many", "'many' is not allowed: .*integer"),
    ("rows.baseline.n_blocks", 3, "unknown; .*takes no settings"),
    ("rows.dropout.p", 1, "1 .*less than 1"),
    ("rows.dropout.p", "half", "'half' .*number"),
    ("rows.dropout.q", 0.1, "unknown; the allowed keys are net, recipe, sized_by, n_chans"),
]
ELSEWHERE = [
    ({"data.classes": ["airplane", "kite"]}, "data.classes.1: 'kite' .*'airplane'"),
    ({"data.std": [0.5, 0, 0.5]}, "data.std.1: 0 .*greater than 0"),
    ({"data.mean": [125, 123, 114]}, "data.mean.0: 125 .*less than or equal to 1"),
    (
        {"data.source": "synthetic", "data.classes": ["cat", "dog"]},
        "only airplane and bird",
    ),
    ({"rows.width": {}}, "rows.width.net: missing"),
    ({"rows.width.sized_by": "model"}, "width.sized_by: .*write model.n_chans"),
    ({"rows": {}}, "baseline is missing"),
    ({"mine": {"lr": 0.1}}, "mine.epochs: missing"),
    ({"rows.baseline.averaged_epochs": 101}, "rows.baseline: averaged_epochs is 101, but"),
    ({"annealed.momentum": 0}, "annealed: nesterov needs a momentum"),
    ({"rows.kite": ROW | {"net": "kite"}}, "rows.kite.net: there is no .*res"),
    ({"rows.kite": ROW | {"recipe": "fast"}}, "recipe: 'fast' .* choose one of train, ann"),
    ({"rows.kite": ROW | {"net": "width"}}, "kite.sized_by: .*write model.n_chans"),
    ({"rows.baseline.flip": [1]}, "rows.baseline.flip: .1. is not allowed: .*number, true"),
    ({"train.label_smoothing": 0.1}, "rows.first: label_smoothing: 0.1 has no effect"),
    ({"rows.first.label_smoothing": 0.1}, "0.1 has no effect, because .*first.py has its"),
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


SECTIONS = [params.Data, params.Synthetic, params.Model, params.Train, params.Recipe]


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
    *notes, last = printed.splitlines()
    assert last == f"params.yaml: {len(ROWS)} rows, no problems found"
    assert notes[0].startswith("first: architectures/first.py has its own loss (instead of")


@pytest.mark.slow
def test_check_reports_a_broken_net(workplace):
    (workplace / "architectures" / "mine.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, n_classes: int):\n"
        "        super().__init__(nn.Conv2d(3, 8, 3), nn.Linear(5, n_classes))\n"
    )
    edit_params(workplace, {"rows.mine": ROW | {"net": "mine"}})
    printed = run(
        *["python", "-m", "scripts.check"],
        cwd=workplace, check=False, PYTHONPATH=f"{workplace}:{ROOT}",
    )  # fmt: skip
    assert printed.startswith("error: architectures/mine.py: RuntimeError: ")
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize("key", ["data.classes", "model.n_chans"])
def test_a_row_with_a_size_of_its_own_need_not_depend_on_the_shared_one(workplace, key):
    wide = ROW | {"net": "width", "sized_by": key, "n_chans": 64, "table": "mine"}
    edit_params(workplace, {"rows.wide_mine": wide, "model.n_chans": 8})
    load_and_check()
    row = params.row_of(params.load(), "wide_mine")
    assert row.settings == {"n_chans": 64}
    assert (row.label, row.family) == ("wide", ("mine", "official"))


def test_a_row_is_a_net_a_recipe_and_its_own_values(workplace):
    shallow = ROW | {"net": "res_deep", "sized_by": "model", "recipe": "annealed"}
    changes = {"rows.res_deep.epochs": 7, "rows.dropout.p": 0.1, "train.threads": 2}
    edit_params(
        workplace, changes | {"rows.two_annealed": shallow | {"n_blocks": 2, "seeds": 3}}
    )
    loaded = params.load()
    deep, wide, drops, two = (
        params.row_of(loaded, name)
        for name in ("res_deep", "width", "dropout", "two_annealed")
    )
    assert (deep.training.lr, deep.training.epochs) == (0.003, 7)
    assert (wide.training.lr, wide.training.epochs) == (0.01, 100)
    assert deep.settings == {"n_chans": 32, "n_blocks": 10}
    assert drops.settings == {"n_chans": 32, "p": 0.1}
    assert two.settings == {"n_chans": 32, "n_blocks": 2}
    assert (two.training.lr, two.training.seeds, two.training.threads) == (0.02, 3, 2)
    assert two.label == "two" and two.family == ("annealed", "folds")
    assert deep.family == wide.family == ("train", "official")
