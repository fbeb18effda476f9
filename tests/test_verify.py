"""The gate: what is only missing is told from what is other than dvc.lock says."""

import json

import pytest

from benchmark.running.errors import UserError
from scripts import verify
from tests.conftest import COMMIT, edit_params, run

pytestmark = pytest.mark.slow


@pytest.fixture
def gate(clone, monkeypatch, capsys):
    """A function that tells whether the gate is open, and what it prints."""
    monkeypatch.chdir(clone)

    def gate(_):
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


def tampered_metric(clone):
    path = clone / "metrics/dropout.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps(metrics | {"val_accuracy": 0.99}))


def removed_metric(clone):
    (clone / "metrics/dropout.json").unlink()


def changed_param(clone):
    edit_params(clone, {"train.lr": 0.5})


def removed_param(clone):
    path = clone / "params.yaml"
    path.write_text(path.read_text().replace("  lr: 0.01\n", "", 1))


def changed_code(clone):
    with (clone / "architectures/dropout.py").open("a") as code:
        code.write("\n# edited\n")


def removed_code(clone):
    (clone / "architectures/dropout.py").unlink()


def committed(clone):
    run("git", *COMMIT, "-q", "-a", "-m", "a change", cwd=clone)


def committed_removal_of_a_metric(clone):
    removed_metric(clone)
    committed(clone)


def committed_removal_of_code(clone):
    removed_code(clone)
    committed(clone)


def renamed_code(clone):
    run("git", "mv", "architectures/res_deep.py", "architectures/deep.py", cwd=clone)
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
        (tampered_metric, "validate@dropout: changed outs: metrics/dropout.json: modified"),
        (removed_metric, "validate@dropout: changed outs: metrics/dropout.json: deleted"),
        (
            changed_param,
            "train@dropout: changed deps: params.yaml: train.lr: param modified",
        ),
        (
            removed_param,
            "train@dropout: changed deps: params.yaml: train.lr: param deleted",
        ),
        (changed_code, "train@dropout: changed deps: architectures/dropout.py: modified"),
        (removed_code, "train@dropout: changed deps: architectures/dropout.py: deleted"),
        (committed_removal_of_a_metric, "changed outs: metrics/dropout.json: deleted"),
        (committed_removal_of_code, "changed deps: architectures/dropout.py: deleted"),
        (renamed_code, "changed deps: architectures/res_deep.py: deleted"),
        (edited_picture, "compare: changed outs: plots/ranking.png: modified"),
        (edited_command, "compare: changed command"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_change_is_told(clone, gate, change, said):
    change(clone)
    passed, printed = gate(clone)
    assert not passed
    assert said in printed.replace("\\", "/")
    assert "differ from dvc.lock; bring results up to date" in printed


def test_a_conflict_in_dvc_yaml_is_one_line(clone, gate):
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
        ("metrics/dropout.json", "deleted", False),
        ("metrics", "deleted", False),
        ("architectures/dropout.py", "deleted", False),
        ("architectures/never_there.py", "deleted", False),
    ):
        status = {"train@res": [{"changed deps": {path: state}}]}
        faults, missing = verify.told_apart(status)
        assert (missing, len(faults)) == (([path], 0) if may else ([], 1))


def test_outside_a_clone_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        verify.dvc_status(verify.BENCHMARK)
    with pytest.raises(UserError, match="needs git"):
        verify.git_ignores(["models"])
