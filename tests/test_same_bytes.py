"""Results are carried over to changed code only if it computes the same bytes."""

from types import SimpleNamespace

import pytest

from benchmark.running.repository import copy_project
from scripts.same_bytes import files_of
from tests.conftest import (
    COMMIT,
    SMALL,
    YAML_SAFE,
    commit,
    edit,
    edit_params,
    keep_rows,
    modified,
    run,
)

pytestmark = pytest.mark.slow
NEEDS_DATA = {
    "download", "filter", "export", "train@baseline", "validate@baseline",
    "train@dropout", "validate@dropout", "notebook/dvc.yaml:train@dropout",
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A repository of two rows and one of the notebook's, with all their results."""
    folder = tmp_path_factory.mktemp("base") / "run"
    copy_project(folder)
    keep_rows(folder / "params.yaml", "rows", ["baseline", "dropout"])
    keep_rows(folder / "notebook/params.yaml", "rows", ["dropout"])
    # Two batches of 64, so that a step affects the loss.
    edit_params(folder, SMALL | {"data.synthetic.train_images": 100})
    edit_params(folder / "notebook", {"rows.dropout.epochs": 3, "seeds": 2})
    run("dvc", "repro", *NEEDS_DATA, cwd=folder)
    commit(folder)
    return folder


@pytest.fixture
def changed(base):
    yield base
    run("git", "checkout", "-q", ".", cwd=base)


def same_bytes(folder):
    return run("python", "-m", "scripts.same_bytes", "HEAD", cwd=folder, check=False)


def outs(folder):
    lock = YAML_SAFE.load(folder / "dvc.lock")["stages"]
    return {name: stage["outs"] for name, stage in lock.items() if name in NEEDS_DATA}


def test_results_are_kept_if_the_bytes_are_the_same(changed):
    before = outs(changed)
    for file in ("architectures/dropout.py", "benchmark/training/loop.py"):
        with (changed / file).open("a") as code:
            code.write("\n# edited\n")
    assert {"train@baseline", "train@dropout"} <= modified(changed, notebook=True)
    printed = same_bytes(changed)
    assert f"All {len(NEEDS_DATA)} stages give the same bytes" in printed
    stale = modified(changed, notebook=True)
    assert not {name for name in stale if name.startswith(("train@", "validate@"))}
    assert outs(changed) == before


def test_a_stage_that_differs_is_named(changed):
    edit(changed / "architectures/dropout.py", "torch.tanh", "torch.relu")
    printed = same_bytes(changed).splitlines()[-1]
    assert printed.startswith("error: the bytes differ, so nothing was changed: ")
    assert "train@dropout (models/dropout/" in printed
    assert "notebook/dvc.yaml:train@dropout (notebook/results/dropout.json)" in printed
    assert "baseline" not in printed
    status = run("git", "status", "--porcelain", cwd=changed)
    assert status.split() == ["M", "architectures/dropout.py"]


def test_all_stages_that_differ_are_named(changed):
    twice = "optimizer.step(), optimizer.step()"
    edit(changed / "benchmark/training/step.py", "optimizer.step()", twice)
    printed = same_bytes(changed).splitlines()[-1]
    for name in NEEDS_DATA - {"download", "filter"}:
        assert f"{name} (" in printed
    assert "download" not in printed


def test_changed_lengths_are_refused(changed):
    edit_params(changed, {"train.epochs": 3})
    said = same_bytes(changed)
    assert said == (
        "error: params.yaml: train.epochs: changed from 2 to 3; this short run "
        "cannot check that, so train again\n"
    )


def test_stale_results_of_the_base_are_refused(changed):
    (changed / "architectures/dropout.py").write_text("# other code")
    run("git", *COMMIT, "-q", "-a", "-m", "stale", cwd=changed)
    said = same_bytes(changed)
    run("git", "reset", "-q", "--hard", "HEAD~1", cwd=changed)
    assert "its results do not match its code (train@dropout: " in said


def test_other_metrics_are_refused(changed):
    (changed / "metrics/dropout.json").write_text("{}")
    assert "error: metrics: differs from " in same_bytes(changed)


def test_other_hashes_in_dvc_lock_are_refused(changed):
    lock = (changed / "dvc.lock").read_text("utf-8")
    model = next(out["md5"] for out in outs(changed)["train@dropout"])
    (changed / "dvc.lock").write_text(lock.replace(model, "0" * 32 + ".dir"))
    assert "error: dvc.lock: train@dropout: models/dropout differs" in same_bytes(changed)


def test_a_file_that_one_version_no_longer_writes_is_compared(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for file in (old / "out/a", old / "out/b", new / "out/a"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    stage = SimpleNamespace(outs=[SimpleNamespace(fs_path=str(new / "out"))])
    assert [path.as_posix() for path in files_of(stage, old, new)] == ["out/a", "out/b"]
