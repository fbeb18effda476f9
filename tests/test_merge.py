"""`make merge-results` resolves the conflicts of two branches, and trains nothing."""

import json
import shutil

import pandas as pd
import pytest

from benchmark.running.errors import UserError
from scripts import merge_results, verify
from tests.conftest import COMMIT, ROOT, commit, edit, run

pytestmark = pytest.mark.slow
ROW = "  {name}: {{net: baseline, recipe: annealed, sized_by: data.classes, lr: {lr}}}\n"


def add_row(repository, name, lr):
    with (repository / "params.yaml").open("a") as file:
        file.write(ROW.format(name=name, lr=lr))


def branch_of(repository, name, change):
    """Commit a change on a branch of its own, with its results."""
    run("git", "checkout", "-q", "-b", name, "main", cwd=repository)
    change(repository)
    run("dvc", "repro", cwd=repository)
    run("python", "-m", "scripts.readme", cwd=repository)
    commit(repository, name)


def merge(repository, name):
    printed = run("git", "merge", name, cwd=repository, check=False)
    return {line.rpartition(" ")[2] for line in printed.splitlines() if "CONFLICT" in line}


@pytest.fixture(scope="module")
def trained(small_run, tmp_path_factory):
    """The small run with three branches. Each has its own results."""
    repository = tmp_path_factory.mktemp("branches") / "run"
    shutil.copytree(small_run, repository, symlinks=True)
    branch_of(repository, "one", lambda here: add_row(here, "one", 0.01))
    branch_of(repository, "two", lambda here: add_row(here, "two", 0.03))
    branch_of(
        repository,
        "slow",
        lambda here: edit(here / "params.yaml", "lr: 0.003", "lr: 0.002"),
    )
    slowest = ("lr: 0.003", "lr: 0.001")
    branch_of(repository, "slower", lambda here: edit(here / "params.yaml", *slowest))
    return repository


@pytest.fixture
def branches(trained, tmp_path, monkeypatch):
    """A fresh clone of the branches, without data, models and cache."""
    run("git", "clone", "-q", "-b", "one", str(trained), "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    for name in ("two", "slow", "slower"):
        run("git", "branch", "-q", name, f"origin/{name}", cwd=clone)
    run("git", "config", "user.name", "Test", cwd=clone)
    run("git", "config", "user.email", "test@example.invalid", cwd=clone)
    monkeypatch.chdir(clone)
    return clone


def test_two_branches_that_each_add_a_row(branches):
    assert {"params.yaml", "dvc.lock", "plots/results.md"} <= merge(branches, "two")
    merge_results.main()
    run("git", *COMMIT, "-q", "-m", "both", cwd=branches)
    verify.main()
    text = (branches / "plots/results.md").read_text("utf-8")
    for name in ("one", "two"):
        assert (
            f"| {name} |" in text and f"| {name} |" in (branches / "README.md").read_text()
        )
    assert not (branches / "models").exists() and not (branches / "data/cifar2.pt").exists()

    assert "dvc.lock" in merge(branches, "slow")
    merge_results.main()
    run("git", *COMMIT, "-q", "-m", "all three", cwd=branches)
    verify.main()
    for path in ("metrics/res_deep.json", "results/res_deep/predictions.csv"):
        theirs = run("git", "show", f"slow:{path}", cwd=branches)
        assert (branches / path).read_text() == theirs
    assert not (branches / "models").exists()


def test_a_conflict_in_code_remains_for_the_user(branches):
    for name, line in (("one", "# one"), ("two", "# two")):
        run("git", "checkout", "-q", name, cwd=branches)
        file = branches / "scripts/check.py"
        file.write_text(f"{line}\n{file.read_text()}")
        run("git", *COMMIT, "-q", "-am", line, cwd=branches)
    merge(branches, "one")
    with pytest.raises(
        UserError, match=r"^scripts/check\.py: resolve by hand and `git add`"
    ):
        merge_results.main()
    run("git", "checkout", "--ours", "scripts/check.py", cwd=branches)
    run("git", "add", "scripts/check.py", cwd=branches)
    merge_results.main()
    run("git", *COMMIT, "-q", "-m", "both", cwd=branches)
    verify.main()


def test_a_row_that_both_trained_is_named(branches):
    run("git", "checkout", "-q", "slow", cwd=branches)
    assert {"params.yaml", "metrics/res_deep.json"} <= merge(branches, "slower")
    with pytest.raises(UserError, match=r"^params\.yaml: resolve by hand"):
        merge_results.main()
    run("git", "checkout", "--theirs", "params.yaml", cwd=branches)
    run("git", "add", "params.yaml", cwd=branches)
    named = r"both branches changed res_deep: train@res_deep.*update the results"
    with pytest.raises(UserError, match=named):
        merge_results.main()
    for path in ("metrics/res_deep.json", "results/res_deep/predictions.csv"):
        ours = run("git", "show", f"slow:{path}", cwd=branches)
        assert (branches / path).read_text() == ours


def test_a_row_of_which_every_file_conflicts(branches):
    """As if both branches had been trained on other machines."""
    row = branches / "results/res_deep"
    for seed, name in enumerate(("slow", "slower")):
        run("git", "checkout", "-q", name, cwd=branches)
        predictions = pd.read_csv(row / "predictions.csv")
        predictions.loc[0, f"seed_{seed}"] ^= 1
        predictions.to_csv(row / "predictions.csv", index=False, lineterminator="\n")
        environment = json.loads((row / "environment.json").read_text())
        changed = json.dumps(environment | {"processor": name})
        (row / "environment.json").write_text(changed)
        run("git", *COMMIT, "-q", "-am", f"{name}, elsewhere", cwd=branches)
    conflicts = merge(branches, "slow")
    listed = run("git", "ls-files", "results/res_deep", cwd=branches)
    assert set(listed.split()) | {"metrics/res_deep.json"} <= conflicts
    run("git", "checkout", "--ours", "params.yaml", cwd=branches)
    run("git", "add", "params.yaml", cwd=branches)
    with pytest.raises(UserError, match=r"^both branches changed res_deep: "):
        merge_results.main()


def test_without_a_merge_it_is_one_line(clone, monkeypatch):
    monkeypatch.chdir(clone)
    with pytest.raises(UserError, match=r"^there is no merge to finish; start one"):
        merge_results.main()


@pytest.mark.parametrize("base", [None, "lr: 1\n", "3\n", "<\n"])
def test_params_without_rows_are_left_to_the_user(workplace, base):
    """Such as those of a branch from before there were rows."""
    run("git", "init", "-q", "-b", "main", cwd=workplace)
    run("git", "config", "user.name", "Test", cwd=workplace)
    run("git", "config", "user.email", "test@example.invalid", cwd=workplace)
    file = workplace / "params.yaml"
    file.write_text(base) if base else file.unlink()
    commit(workplace, "base")
    for branch in ("one", "two"):
        run("git", "checkout", "-q", "-b", branch, "main", cwd=workplace)
        shutil.copyfile(ROOT / "params.yaml", file)
        add_row(workplace, branch, 0.01)
        commit(workplace, branch)
    assert "params.yaml" in merge(workplace, "one")
    before = file.read_bytes()
    assert b"<<<<" in before
    assert not merge_results.merge_params()
    assert file.read_bytes() == before
