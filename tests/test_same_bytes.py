"""Results are carried over to changed code only if it computes the same bytes."""

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from scripts.same_bytes import run_in_one_process, stages_of
from tests.conftest import COMMIT, SMALL, copy_of_project, edit_params, run
from tests.test_pipeline import modified

ROWS = ["baseline", "dropout"]
NEEDS_DATA = {
    "download", "filter", "export", "notebook/dvc.yaml:train@dropout",
    *(f"{stage}@{name}" for stage in ("train", "validate") for name in ROWS),
}  # fmt: skip


def keep(path, section, names):
    yaml = YAML()
    content = yaml.load(path)
    for name in set(content[section]) - set(names):
        del content[section][name]
    yaml.dump(content, path)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A repository of two rows and one of the notebook's, with all their results."""
    folder = copy_of_project(tmp_path_factory.mktemp("base") / "run")
    keep(folder / "params.yaml", "architectures", ROWS)
    keep(folder / "notebook/params.yaml", "rows", ["dropout"])
    edit_params(folder, SMALL)
    edit_params(folder / "notebook", {"rows.dropout.epochs": 3})
    with Repo(str(folder)) as repo:
        run_in_one_process(folder, [stage.cmd for stage in stages_of(repo)])
    run("dvc", "commit", "-q", "--force", cwd=folder)
    run("git", *COMMIT, "-q", "-a", "-m", "results", cwd=folder)
    return folder


@pytest.fixture
def changed(base):
    yield base
    run("git", "checkout", "-q", ".", cwd=base)


def edit(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def same_bytes(folder):
    return run("python", "-m", "scripts.same_bytes", "HEAD", cwd=folder, check=False)


def outs(folder):
    lock = YAML(typ="safe").load(folder / "dvc.lock")["stages"]
    return {name: stage["outs"] for name, stage in lock.items() if name in NEEDS_DATA}


def test_a_change_that_keeps_all_bytes_carries_all_results_over(changed):
    before = outs(changed)
    for file in ("architectures/dropout.py", "benchmark/training.py"):
        with (changed / file).open("a") as code:
            code.write("\n# edited\n")
    assert {"train@baseline", "train@dropout"} <= modified(changed, notebook=True)
    # Neither data nor models: all that is needed is in git.
    printed = same_bytes(changed)
    assert f"The same bytes in all {len(NEEDS_DATA)} stages" in printed
    assert not {s for s in modified(changed, notebook=True) if s.startswith("train@")}
    assert outs(changed) == before


def test_a_change_of_one_row_is_named_and_changes_nothing(changed):
    edit(changed / "architectures/dropout.py", "torch.tanh", "torch.relu")
    printed = same_bytes(changed)
    assert "error: other bytes, so nothing was changed: " in printed
    assert "train@dropout (models/dropout/" in printed
    assert "notebook/dvc.yaml:train@dropout (notebook/results/dropout.json)" in printed
    assert "baseline" not in printed
    assert run("git", "status", "--porcelain", cwd=changed).split() == [
        "M", "architectures/dropout.py",
    ]  # fmt: skip


def test_a_change_of_all_rows_names_all(changed):
    twice = "optimizer.step(), optimizer.step()"
    edit(changed / "benchmark/training.py", "optimizer.step()", twice)
    printed = same_bytes(changed)
    for name in NEEDS_DATA - {"download", "filter"}:
        assert f"{name} (" in printed
    assert "download" not in printed
