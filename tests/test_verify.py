"""The gate: what is only missing is told from what is other than dvc.lock says."""

import json

import pytest

from scripts import verify
from tests.conftest import COMMIT, edit_params, run


def gate(repository):
    """Whether the gate is open, and what it prints, in a real clone."""
    printed = run("python", "-m", "scripts.verify", cwd=repository, check=False)
    assert "Traceback" not in printed
    return printed.endswith("these params and data.\n"), printed


def test_a_clean_clone_passes(clone):
    passed, printed = gate(clone)
    assert passed, printed
    assert "which is fine" in printed and "Traceback" not in printed
    # The small run has other params than the notebook's rows were made with.
    assert "docs/notebook.md is of other code or params" in printed
    assert not (clone / "models").exists()


def tampered_metric(clone):
    path = clone / "metrics/res.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps(metrics | {"val_accuracy": 0.99}))


def removed_metric(clone):
    (clone / "metrics/res.json").unlink()


def changed_param(clone):
    edit_params(clone, {"train.lr": 0.5})


def removed_param(clone):
    path = clone / "params.yaml"
    path.write_text(path.read_text().replace("  lr: 0.01\n", "", 1))


def changed_code(clone):
    with (clone / "architectures/res.py").open("a") as code:
        code.write("\n# edited\n")


def removed_code(clone):
    (clone / "architectures/res.py").unlink()


def committed(clone):
    run("git", *COMMIT, "-q", "-a", "-m", "a change", cwd=clone)


def committed_removal_of_a_metric(clone):
    removed_metric(clone)
    committed(clone)


def committed_removal_of_code(clone):
    removed_code(clone)
    committed(clone)


def renamed_code(clone):
    run("git", "mv", "benchmark/training.py", "benchmark/loop.py", cwd=clone)
    committed(clone)


def edited_picture(clone):
    path = clone / "plots/ranking.png"
    path.write_bytes(path.read_bytes() + b"more")


def edited_command(clone):
    path = clone / "dvc.yaml"
    path.write_text(path.read_text().replace("stages.compare\n", "stages.compare --fast\n"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (tampered_metric, "validate@res: changed outs: metrics/res.json: modified"),
        (removed_metric, "validate@res: changed outs: metrics/res.json: deleted"),
        (changed_param, "train@res: changed deps: params.yaml: train.lr: param modified"),
        (removed_param, "train@res: changed deps: params.yaml: train.lr: param deleted"),
        (changed_code, "train@res: changed deps: architectures/res.py: modified"),
        (removed_code, "train@res: changed deps: architectures/res.py: deleted"),
        (committed_removal_of_a_metric, "changed outs: metrics/res.json: deleted"),
        (committed_removal_of_code, "changed deps: architectures/res.py: deleted"),
        (renamed_code, "train@res: changed deps: benchmark/training.py: deleted"),
        (edited_picture, "compare: changed outs: plots/ranking.png: modified"),
        (edited_command, "compare: changed command"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_change_is_told(clone, change, said):
    change(clone)
    passed, printed = gate(clone)
    assert not passed
    assert said in printed.replace("\\", "/")
    assert "differ from dvc.lock; bring results up to date" in printed
    assert "Traceback" not in printed


def test_a_conflict_in_dvc_yaml_is_one_line(clone):
    path = clone / "dvc.yaml"
    path.write_text("<<<<<<< ours\n" + path.read_text())
    passed, printed = gate(clone)
    assert not passed
    assert "error: dvc status" in printed and "dvc.yaml" in printed.partition("error: ")[2]


def test_only_what_git_ignores_may_be_missing(clone, monkeypatch):
    monkeypatch.chdir(clone)
    for path, state, may in (
        ("models/res", "not in cache", True),
        ("models/res", "deleted", True),
        ("data/cifar2.pt", "deleted", True),
        ("models/res", "modified", False),
        ("metrics/res.json", "deleted", False),
        ("metrics", "deleted", False),
        ("architectures/res.py", "deleted", False),
        ("architectures/never_there.py", "deleted", False),
    ):
        status = {"train@res": [{"changed deps": {path: state}}]}
        faults, missing = verify.told_apart(status)
        assert (missing, len(faults)) == (([path], 0) if may else ([], 1))


def test_outside_a_clone_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(verify.errors.UserError):
        verify.dvc_status(verify.BENCHMARK)
    with pytest.raises(verify.errors.UserError, match="needs git"):
        verify.git_ignores(["models"])
