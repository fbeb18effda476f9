"""A DVC remote in a folder: after a push, other clones train only what changed."""

import pytest

from tests.conftest import edit_params, modified, ran, run

pytestmark = pytest.mark.slow


@pytest.fixture
def remote(scratch, tmp_path):
    """The small run's data and models, pushed to a folder."""
    folder = tmp_path / "remote"
    run("dvc", "remote", "add", "--local", "-d", "shared", str(folder), cwd=scratch)
    run("dvc", "push", "-q", cwd=scratch)
    yield folder
    run("dvc", "remote", "remove", "--local", "shared", cwd=scratch)


def test_a_clone_trains_only_what_it_changes(clone, remote):
    run("dvc", "remote", "add", "--local", "-d", "shared", str(remote), cwd=clone)
    edit_params(clone, {"model.n_blocks": 3})
    repro = ["dvc", "repro", "--pull", "--allow-missing", "compare"]
    assert ran(run(*repro, cwd=clone)) == {"train@res_deep", "validate@res_deep", "compare"}
    assert (clone / "models/res_deep/seed-0.pt").is_file()
    assert not (clone / "models/dropout").exists()
    # Others fetch the trained models and train nothing.
    run("dvc", "push", "-q", cwd=clone)
    run("git", "clone", "-q", str(clone), str(clone.parent / "other"), cwd=clone.parent)
    other = clone.parent / "other"
    for name in ("params.yaml", "dvc.lock"):
        (other / name).write_bytes((clone / name).read_bytes())
    for folder in ("metrics", "results/res_deep", "plots"):
        for file in (clone / folder).glob("*.*"):
            (other / folder / file.name).write_bytes(file.read_bytes())
    run("dvc", "remote", "add", "--local", "-d", "shared", str(remote), cwd=other)
    assert ran(run(*repro, cwd=other)) == set()
    assert modified(other) == {"report"}
    run("dvc", "pull", "-q", "models/res_deep", cwd=other)
    assert (other / "models/res_deep/seed-0.pt").is_file()
