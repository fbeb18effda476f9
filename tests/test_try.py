"""Is my net better? One net is trained and compared with the predictions in git."""

import re
import shutil
import sys
from importlib import invalidate_caches

import pytest

import architectures
from benchmark import params
from benchmark.reporting.comparison import compare
from benchmark.reporting.results import read_families
from benchmark.running.errors import UserError
from benchmark.stats.planning import in_full
from scripts import try_net
from tests.conftest import COMMITTED, edit, edit_params, run

MINE = """
from torch import nn
class Net(nn.Sequential):
    \"\"\"A tiny net.\"\"\"
    def __init__(self, n_classes: int, {arguments}):
        super().__init__(nn.Flatten(), nn.Linear(3072, n_classes))
"""


def write_net(folder, name="mine", arguments="width: int = 3"):
    path = folder / f"architectures/{name}.py"
    path.write_text(MINE.format(arguments=arguments))
    invalidate_caches()


@pytest.fixture
def nets(workplace, monkeypatch):
    """A workplace whose new nets can be imported here."""
    monkeypatch.setattr(architectures, "__path__", [str(workplace / "architectures")])
    for name in ("mine", "wide"):  # other tests import nets of that name
        monkeypatch.delitem(sys.modules, f"architectures.{name}", raising=False)
    yield workplace
    for name in ("mine", "wide"):
        sys.modules.pop(f"architectures.{name}", None)


def test_a_net_without_a_row_gets_one(nets):
    write_net(nets)
    loaded, name = try_net.with_row(params.load(), "mine")
    assert name == "mine" and len(loaded.rows) == len(COMMITTED.rows) + 1
    row = params.row_of(loaded, name)
    assert (row.net, row.recipe, row.training.split) == ("mine", "annealed", "folds")
    write_net(nets, "wide", "n_chans: int")
    loaded, name = try_net.with_row(params.load(), "wide")
    assert params.row_of(loaded, name).settings == {"n_chans": 32}


@pytest.mark.parametrize("name", ["res", "res_annealed"])
def test_the_annealed_row_of_a_net_is_used(workplace, name):
    assert try_net.with_row(params.load(), name)[1] == "res_annealed"


def test_the_file_is_used_if_the_row_has_another_recipe(nets):
    write_net(nets)
    entry = {"net": "mine", "recipe": "train", "sized_by": "data.classes"}
    edit_params(nets, {"rows.mine": entry})
    assert try_net.with_row(params.load(), "mine")[1] == "mine_annealed"


@pytest.mark.parametrize("net", ["none", "../res", "res.py"])
def test_a_net_that_does_not_exist_is_one_line(workplace, net):
    with pytest.raises(UserError, match="no row with the annealed recipe, and no file"):
        try_net.with_row(params.load(), net)


def test_no_name_and_a_row_with_another_recipe_are_one_line(nets):
    with pytest.raises(UserError, match="name a net: make try NET=mine"):
        try_net.with_row(params.load(), "")
    write_net(nets)
    entry = {"net": "mine", "recipe": "train", "sized_by": "data.classes"}
    edit_params(nets, {"rows.mine": entry, "rows.mine_annealed": {**entry}})
    with pytest.raises(UserError, match=r"rows\.mine_annealed has the recipe train"):
        try_net.with_row(params.load(), "mine")


@pytest.fixture
def mine(clone, small_run, monkeypatch):
    """A clone without models and cache, with the data, and a file for a new net."""
    (clone / "data").mkdir(exist_ok=True)
    shutil.copyfile(small_run / "data/cifar2.pt", clone / "data/cifar2.pt")
    write_net(clone)
    monkeypatch.chdir(clone)
    return clone


def try_it(folder, net="mine", **options):
    return run("python", "-m", "scripts.try_net", net, cwd=folder, **options)


@pytest.mark.slow
def test_only_this_net_is_trained(mine):
    before = run("git", "status", "--porcelain", cwd=mine)
    printed = try_it(mine)
    assert "4 training runs" in printed
    assert run("git", "status", "--porcelain", cwd=mine) == before
    assert not (mine / "models").exists()
    assert re.search(
        r"(?m)^mine, annealed recipe: \d+\.\d% \(.+\), the mean of 4 ", printed
    )
    assert "6,146 parameters and 6,144 multiply-adds per image (baseline: " in printed
    ranking = re.findall(r"(?m)^ +(\d)  (\w+) +\d+\.\d% +(.+)$", printed)
    assert [int(place) for place, *_ in ranking] == [1, 2, 3, 4]
    assert {name for _, name, _ in ranking} == {"mine", "baseline", "width", "depth"}
    assert "give it a row in params.yaml" in printed
    # The finished runs are used again.
    assert "training runs" not in try_it(mine).replace("training runs, tested", "").replace(
        "training runs are used", ""
    )


@pytest.mark.slow
def test_the_tables_say_the_same_once_the_net_has_a_row(mine):
    printed = try_it(mine)
    entry = {"net": "mine", "recipe": "annealed", "sized_by": "data.classes", "width": 3}
    edit_params(mine, {"rows.mine": entry})
    run("dvc", "repro", "--allow-missing", "compare", cwd=mine)
    [family] = [f for f in read_families(params.load()) if f.table == "annealed"]
    verdicts = compare(family)
    for name in ("baseline", "width", "depth"):
        [said] = re.findall(rf"(?m)^ +\d  {name} +\d+\.\d% +[\d.]+  (.+)$", printed)
        assert said == in_full(verdicts.between("mine", name))
    assert "give it a row" not in try_it(mine)


@pytest.mark.slow
def test_results_of_other_code_are_refused(mine):
    edit(mine / "architectures/width.py", "torch.tanh", "torch.relu")
    printed = try_it(mine, check=False)
    said = "error: the committed results do not match what is here (train@width_annealed"
    assert printed.startswith(said) and printed.count("\n") == 1


@pytest.mark.slow
def test_a_net_that_cannot_be_trained_is_one_line(mine):
    write_net(mine, arguments="groups: int")
    printed = try_it(mine, check=False)
    assert "mine" in printed and "groups: missing" in printed
    assert printed.count("error:") == 1 and "Traceback" not in printed
