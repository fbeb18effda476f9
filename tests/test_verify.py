"""`make verify` distinguishes missing files from files that differ from dvc.lock."""

import pytest

from benchmark.running.errors import UserError
from scripts import verify
from tests.conftest import COMMIT, changed, edited, gone, holds, run

pytestmark = pytest.mark.slow


@pytest.fixture
def gate(clone, monkeypatch, capsys):
    """A function that runs verify; it returns whether verify passed, and the output."""
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


def test_outside_a_clone_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        verify.dvc_status(verify.BENCHMARK)
    with pytest.raises(UserError, match="verify needs git"):
        verify.git_ignores(["models"])
