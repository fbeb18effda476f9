"""Errors in files, names and values are one line: what, where, what to do."""

import io
import re
import sys
from functools import partial
from importlib import invalidate_caches
from pathlib import Path

import pytest
import torch
from torch import nn

import architectures
from architectures.baseline import Net
from benchmark import check, params
from benchmark.reporting.example_net import Example
from benchmark.reporting.results import read_families
from benchmark.running.errors import UserError
from benchmark.running.repository import run_in_one_process
from benchmark.training import state_dict
from notebook import report as notebook_report
from notebook import rows
from notebook import train as notebook_train
from scripts import changes, pr_report, verify
from scripts import check as scripts_check
from stages import compare, convolve, describe, report, train, validate
from studies import portability
from tests.conftest import RunsCode, changed, edit_params, edited, gone, holds

CONFLICT = "<<<<<<< ours\n"
NET = "from torch import nn\nclass Net(nn.Linear):\n def __init__(self, n_classes{}): ..."
LINEAR = """from torch import nn
class Net(nn.Module):
    def __init__(self, n_classes: int, p: float):
        super().__init__()
        self.linear = nn.Linear(3072, n_classes)
    def forward(self, images):
        {}
"""
PREDICTIONS = "example,label,seed_0,seed_1\n0,1,1,1\n1,0,{}\n"
WITHOUT_LAYERS = Example(
    "generated", nn.Linear(1, 1), torch.zeros(1, 3, 32, 32), torch.zeros(1), ("a",), [], []
)
RES_DEEP = "results/res_deep/predictions.csv"


def mine(source, **entry):
    """Add a net and its entry."""

    def do(folder):
        holds("architectures/mine.py", source)(folder)
        row = {"net": "mine", "recipe": "train", "sized_by": "data.classes", "p": 1}
        edit_params(folder, {"rows.mine": row | entry})

    return do


def labels_turned(text):
    return re.sub(r"(?m)^(\d+),(\d)", lambda m: f"{m[1]},{1 - int(m[2])}", text)


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


BASELINE, MODEL = Net(n_classes=2), Path("models/baseline/seed-0.pt")


def load_rows():
    rows.load()


def check_params():
    check.check_rows(params.load())


def make_report():
    report.render_report(params.load(), report.COMMITTED)


def read_all():
    read_families(params.load())


def nothing(folder):
    pass


against_main = partial(changes.changes, "main")
TABLE = [
    # params.yaml and architectures
    *(
        (holds("params.yaml", text), check_params, r"^params\.yaml: ")
        for text in ("a: [", "a: 1\na: 2", "\x00", "- 1\n- 2", "", "3")
    ),
    (gone("params.yaml"), check_params, "^params.yaml: cannot be read"),
    (
        holds("params.yaml", ""),
        check_params,
        "has no sections; restore it with `git checkout params",
    ),
    (
        edited(
            "params.yaml", lambda text: text.replace("lr: 0.01", "lr: &a 0.01\n  x: *a")
        ),
        check_params,
        r"params\.yaml, line 45: \*a is a YAML alias, .* write the values out",
    ),
    (mine("class Net(:"), check_params, "mine.py is not valid Python"),
    *(
        (
            mine(f"import torch\n{line}"),
            check_params,
            rf"mine\.py, line 2: imports {name}, a",
        )
        for line, name in (
            ("from architectures import res", "architectures"),
            ("import architectures.res as res", r"architectures\.res"),
            ("from ._blocks import Block", r"\._blocks"),
            ("from . import _blocks", r"\."),
            ("from benchmark import params", "benchmark"),
        )
    ),
    (mine("x = 1"), check_params, "mine.py does not define a class Net"),
    (mine("import no_such"), check_params, "mine.py, line 1: ModuleNotFoundError"),
    (
        mine(NET.format(", p: 'wide'")),
        check_params,
        "annotate every setting as .*'wide' is not def",
    ),
    (mine(NET.format(", p: print")), check_params, "annotate every setting as int, float"),
    (mine(NET.format(", p: dict")), check_params, "rows.mine.p: 1 is not allowed"),
    (mine(NET.format(", q")), check_params, "rows.mine.q: missing"),
    *(
        (mine(LINEAR.format(statement)), call, f"architectures/mine.py.*{said}")
        for call in (partial(train.main, "mine"), scripts_check.main)
        for statement, said in (
            (
                "return self.linear(images.flatten(1)).flatten()",
                r"shape \(40,\); it must be a",
            ),
            ("return [1, 2]", r"result of type list; it must be .* \(20, 2\)"),
            ("return self.linear(images)", "line 7: RuntimeError: .*mat1 and mat2"),
            ("def (:", "is not valid Python: .*line 7"),
        )
    ),
    (
        mine(LINEAR.format("return images.flatten(1)[:, :2]").replace("self.linear", "x")),
        scripts_check.main,
        "architectures/mine.py: the net has no parameters to train",
    ),
    (nothing, partial(train.main, "kite"), r"^kite: not in params\.yaml; .*baseline"),
    (nothing, partial(validate.main, "kite"), r"^kite: not in params\.yaml; .*baseline"),
    (nothing, partial(portability.main, ["kite"], 1), r"^kite: not in params\.yaml"),
    (
        nothing,
        partial(portability.main, ["baseline"], 0),
        "^--seeds: 0 is not allowed; use 1 to 2",
    ),
    # notebook/params.yaml
    *(
        (changed(f"rows.{key}", value, "notebook"), load_rows, f"notebook/params.*{said}")
        for key, value, said in (
            ("dropout.defects", ["shuffled"], "rows.dropout.defects.0: 'shuffled'"),
            ("dropout.epochs", 0, "rows.dropout.epochs: 0"),
            (
                "dropout.epoch",
                1,
                "rows.dropout.epoch: unknown; the allowed keys are arch.*, lr",
            ),
            ("dropout.architecture", "wide", "no architectures/wide.py; choose one of"),
            ("dropout.blocks", 3, "rows.dropout.blocks: dropout has no blocks"),
            ("dropout.defects", ["shared_block"], "rows.dropout: shared_block requires a"),
        )
    ),
    (changed("seeds", 1, "notebook"), load_rows, "notebook/params.*seeds: 1"),
    (holds(rows.ROWS, "seeds: ["), load_rows, "notebook/params.yaml: not valid YAML"),
    (holds(rows.ROWS, b"\xff"), load_rows, "notebook/params.yaml: not valid YAML"),
    (holds(rows.ROWS, ""), load_rows, "notebook/params.yaml: has no sections; restore it"),
    (gone(rows.ROWS), load_rows, "notebook/params.yaml: cannot be read"),
    *(
        (holds("notebook/results/dropout.json", text), notebook_report.main, "with git")
        for text in ("", CONFLICT, "[1]")
    ),
    (nothing, partial(notebook_train.main, "no_such"), "^no_such: not a row of .* dropout"),
    # dvc.lock and results
    *(
        (holds("dvc.lock", text), make_report, r"^dvc\.lock: ")
        for text in (CONFLICT, "a: [", "[1]", "stages: [1]")
    ),
    *(
        (holds("results/baseline/environment.json", CONFLICT), make, "dvc repro validate@b")
        for make in (make_report, describe.main)
    ),
    (
        edited(RES_DEEP, labels_turned),
        read_all,
        "^results of \\w+: not the same images as ",
    ),
    *(
        (
            nothing,
            partial(state_dict.load, BASELINE, content, MODEL),
            "seed-0.pt: not a state dict",
        )
        for content in (
            b"",
            state_dict.to_bytes({"weight": torch.zeros(3)}),
            state_dict.to_bytes(nn.Linear(3072, 2).state_dict()),
            saved([1, 2]),
            saved({"weight": RunsCode()}),
        )
    ),
    (
        nothing,
        partial(convolve.figures, WITHOUT_LAYERS),
        "baseline.py has no conv1, conv2, fc1, fc2; rename your",
    ),
    # Comparisons with another commit
    *(
        (holds(RES_DEEP, content), against_main, rf"^{RES_DEEP}: no predictions \(")
        for content in (
            b"",
            CONFLICT,
            "a,b\n1,2\n",
            PREDICTIONS.format("1,bird"),
            PREDICTIONS.format("1,"),
            PREDICTIONS.format("bird,1").replace("\n1,0,", "\n1,bird,"),
            PREDICTIONS.format("1,\xff").encode("latin-1"),
        )
    ),
    *(
        (holds(file, text), against_main, rf"^{file}: ")
        for file in ("dvc.lock", "params.yaml")
        for text in (CONFLICT + "a: 1\n", "[1, 2]", "a: [")
    ),
    (nothing, partial(changes.changes, "no_such"), "^git ls-tree .*that the clone has"),
    (nothing, partial(pr_report.report, "no_such"), "a commit that the clone has"),
    (holds("notebook/params.yaml", "a: ["), partial(pr_report.report, "main"), "^dvc st"),
    (
        nothing,
        partial(run_in_one_process, Path(), {"x": "python -m no"}, False),
        "^a stage failed in .*: No module named no",
    ),
    (edited("dvc.yaml", CONFLICT.__add__), verify.main, "^dvc status: .*dvc.yaml"),
    *(
        (
            holds("architectures/dropout.py", text),
            compare.main,
            "dropout.py is not valid Py",
        )
        for text in ("def (:", b"\xff", "\0")
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "call", "said"), TABLE, ids=[t[2] for t in TABLE])
def test_it_is_one_line(scratch, monkeypatch, damage, call, said):
    monkeypatch.chdir(scratch)
    monkeypatch.setattr(architectures, "__path__", [str(scratch / "architectures")])
    monkeypatch.delitem(sys.modules, "architectures.mine", raising=False)
    damage(scratch)
    invalidate_caches()
    with pytest.raises(UserError, match=said):
        call()
    assert not Path("models/mine").exists() and not Path("it-ran").exists()


def test_a_message_is_always_one_line():
    assert str(UserError("a\nb\x1b[2J\u2028é")) == r"a\nb\x1b[2J\u2028é"


def test_predictions_of_a_commit_are_named_by_it(tmp_path):
    with pytest.raises(UserError, match=r"^HEAD:\./results/res/predictions.csv: no pred"):
        changes.scored("a,b\n1,2\n", "HEAD:./results/res/predictions.csv", "")


def test_in_the_wrong_folder_it_says_where_to_run(scratch, monkeypatch):
    monkeypatch.chdir(scratch / "docs")
    with pytest.raises(UserError, match=r"^no results/\*/predictions.csv in HEAD or here"):
        changes.changes("HEAD")
