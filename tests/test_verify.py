"""`make verify` distinguishes missing files from files that differ from dvc.lock."""

import json
import shutil
from pathlib import Path

import pytest

from benchmark.running.errors import UserError
from benchmark.running.repository import copy_project
from scripts import verify
from tests.conftest import COMMIT, SMALL_ROWS, changed, edited, gone, holds, keep_rows, run

pytestmark = pytest.mark.slow


@pytest.fixture
def gate(monkeypatch, capsys):
    """A function that runs verify; it returns whether verify passed, and the output."""

    def gate(folder):
        monkeypatch.chdir(folder)
        try:
            verify.main()
        except UserError as error:
            return False, f"{capsys.readouterr().out}error: {error}"
        return True, capsys.readouterr().out

    return gate


def test_a_clean_clone_passes(clone, gate):
    passed, printed = gate(clone)
    assert passed, printed
    assert "which is fine" in printed
    assert not (clone / "models").exists()


def committed(damage):
    def do(clone):
        damage(clone)
        run("git", *COMMIT, "-q", "-a", "-m", "a change", cwd=clone)

    return do


METRIC, NET = "metrics/dropout.json", "architectures/dropout.py"
TRAIN, VALIDATE = "train@dropout: changed deps: ", "validate@dropout: changed outs: "


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (holds(METRIC, '{"val_accuracy": 0.99}'), f"{VALIDATE}{METRIC}: modified"),
        (gone(METRIC), f"{VALIDATE}{METRIC}: deleted"),
        (changed("train.lr", 0.5), f"{TRAIN}params.yaml: train: param modified"),
        (
            edited("params.yaml", lambda text: text.replace("  lr: 0.01\n", "", 1)),
            f"{TRAIN}params.yaml: train: param modified",
        ),
        (holds(NET, "# edited"), f"{TRAIN}{NET}: modified"),
        (gone(NET), f"{TRAIN}{NET}: deleted"),
        (committed(gone(METRIC)), f"{VALIDATE}{METRIC}: deleted"),
        (committed(gone(NET)), f"{TRAIN}{NET}: deleted"),
        (
            committed(lambda clone: (clone / NET).rename(clone / "architectures/a.py")),
            f"{TRAIN}{NET}: deleted",
        ),
        (holds("plots/ranking.png", b""), "compare: changed outs: plots/ranking.png: mod"),
        (
            edited("dvc.yaml", lambda text: text.replace("compare\n", "compare --fast\n")),
            "compare: changed command",
        ),
    ],
)
def test_a_change_is_reported(clone, gate, change, said):
    change(clone)
    passed, printed = gate(clone)
    assert not passed
    assert said in printed.replace("\\", "/")
    assert "entries differ from dvc.lock; update the results" in printed


def test_what_a_removed_row_left_is_named(scratch, gate):
    kept = [name for name in SMALL_ROWS if name != "dropout"]
    keep_rows(scratch / "params.yaml", "rows", kept)
    run("dvc", "repro", "--allow-missing", "compare", "report", cwd=scratch)
    run("dvc", "exp", "save", "-n", "without-dropout", cwd=scratch)
    passed, printed = gate(scratch)
    assert not passed
    assert "metrics/dropout.json: params.yaml has no such row\n" in printed
    assert "delete them: git rm -r metrics/dropout.json results/dropout" in printed
    run("git", "rm", "-q", "-r", "metrics/dropout.json", "results/dropout", cwd=scratch)
    run("dvc", "repro", "--allow-missing", "compare", "report", cwd=scratch)
    passed, printed = gate(scratch)
    assert passed, printed


def test_outside_a_clone_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        verify.dvc_status(verify.BENCHMARK)
    with pytest.raises(UserError, match="verify needs git"):
        verify.git_ignores(["models"])


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("notebook/report.md.jinja", "dvc repro --allow-missing notebook/dvc.yaml:report"),
        ("notebook/train.py", "make notebook"),
    ],
)
def test_a_stale_notebook_is_no_error_but_names_the_command(clone, gate, file, command):
    edited(file, lambda text: f"{text}# edited\n")(clone)
    passed, printed = gate(clone)
    assert passed
    assert f"docs/notebook.md does not match this code; `{command}`" in printed


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "._loop.py", "loop.py~", ".loop.py.swp", ".ipynb_checkpoints/loop.py"],
)
def test_what_editors_leave_behind_is_no_change(clone, gate, name):
    path = clone / "benchmark/training" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("leftover")
    passed, printed = gate(clone)
    assert passed, printed
    assert not run("git", "status", "--short", cwd=clone)


def test_a_damaged_lock_of_dvc_is_explained(clone, gate):
    (clone / ".dvc/tmp").mkdir(exist_ok=True)
    holds(".dvc/tmp/rwlock", "")(clone)
    passed, printed = gate(clone)
    assert not passed and "if no dvc is running, delete this file" in printed


def test_a_new_row_does_not_make_the_notebooks_page_stale(tmp_path, monkeypatch):
    copy_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    shutil.copy("metrics/baseline.json", "metrics/mine.json")
    line = {f"{verify.NOTEBOOK}:report": [{"changed deps": {"metrics": "modified"}}]}
    monkeypatch.setattr(verify, "dvc_status", lambda pipeline: line)
    assert verify.stale_notebook() == ""
    changed = json.loads(Path("metrics/width.json").read_text())
    changed["val_accuracy"] = 0.5
    Path("metrics/width.json").write_text(json.dumps(changed))
    assert "docs/notebook.md does not match this code" in verify.stale_notebook()
