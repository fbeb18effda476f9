"""The change report, made from the predictions in git."""

import json
from pathlib import Path

import pytest

from scripts import changes
from tests.conftest import commit, run
from tests.test_compare import results_of

N_SEEDS = 5
SEEDS = [f"seed_{seed}" for seed in range(N_SEEDS)]


def predictions(threshold, seed):
    """Predictions of a net: correct if an image's difficulty is below the threshold."""
    made = results_of({"res": threshold}, N_SEEDS, seed, scatter=0.5).predictions["res"]
    return made.set_index("example")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Three architectures' predictions, committed."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("baseline", "res", "depth")):
        write(name, predictions(1.4, seed))
    run("git", "init", "-q", "-b", "main", cwd=tmp_path)
    commit(tmp_path)
    return tmp_path


def write(name, table):
    path = changes.RESULTS / name / changes.PREDICTIONS
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path)


def said(base="HEAD", revision=None):
    """Return the last column of the report, by net, and the line below the table."""
    lines = changes.report(changes.changes(base, revision), margin=0.01).splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines[2:-2]]
    return {row[0]: row[-1] for row in rows}, lines[-1]


def test_nothing_changed(repository):
    words, last = said()
    assert set(words.values()) == {"none: same predictions"}
    assert last == "Real changes: none. There was nothing to test."


def test_another_number_of_seeds_is_no_change(repository):
    write("res", predictions(1.4, 1)[["label", *SEEDS[:3]]])
    words, last = said()
    assert words["res"] == "none: same predictions for the seeds in common (seeds: 5 → 3)"
    assert last.startswith("Real changes: none.")


def test_worse_and_better_predictions_are_real_changes(repository):
    write("res", predictions(1.1, 8))
    write("depth", predictions(1.7, 9))
    write("baseline", predictions(1.4, 10))
    words, last = said()
    assert words["baseline"].startswith("cannot tell (−")
    assert words["res"].startswith("**worse by ")
    assert words["depth"].startswith("**better by ")
    named = last.split(". ")[0].removeprefix("Real changes: ").split(", ")
    assert sorted(named) == ["depth", "res"]


def test_two_commits_are_compared_without_the_workspace(repository):
    write("res", predictions(1.1, 8))
    commit(repository)
    write("res", predictions(1.4, 1))
    assert said("HEAD~1", "HEAD")[0]["res"].startswith("**worse by ")
    assert said("HEAD~1")[0]["res"] == "none: same predictions"


def test_new_removed_and_other_images(repository):
    write("mine", predictions(1.4, 3))
    (repository / "results/depth/predictions.csv").unlink()
    other = predictions(1.4, 1)
    other["label"] = 1 - other["label"]
    write("res", other)
    words, _ = said()
    assert words["mine"] == "new" and words["depth"] == "removed"
    assert words["res"] == "cannot compare: scored on different data"


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_too_few_seeds(repository, n_seeds):
    write("res", predictions(1.4, 10)[["label", *SEEDS[:n_seeds]]])
    assert said()[0]["res"] == f"no verdict: it needs 3 seeds (seeds: 5 → {n_seeds})"


def test_no_common_seeds(repository):
    other = predictions(1.1, 10)
    write("res", other.rename(columns={name: f"{name}0" for name in SEEDS[1:]}))
    write("depth", other[["label", *SEEDS[2:]]])
    words, _ = said()
    assert words["res"].startswith("**worse by ") and words["depth"].startswith(
        "**worse by "
    )


def lock(data):
    stages = {"validate@res": {"deps": [{"path": "data/cifar2.pt", "md5": data}]}}
    Path("dvc.lock").write_text(json.dumps({"stages": stages}))


def test_other_data_with_the_same_labels(repository):
    lock("one")
    commit(repository)
    lock("another")
    write("res", predictions(1.1, 8))
    assert said()[0]["res"] == "cannot compare: scored on different data"
    lock("one")
    assert said()[0]["res"].startswith("**worse by ")


def test_in_a_subfolder_and_with_unusual_names(tmp_path, monkeypatch):
    project = tmp_path / "with space" / "project"
    project.mkdir(parents=True)
    monkeypatch.chdir(project)
    run("git", "init", "-q", "-b", "main", cwd=tmp_path)
    write("größe", predictions(1.4, 0))
    commit(tmp_path)
    assert said()[0] == {"größe": "none: same predictions"}


def test_results_of_a_removed_net_are_ignored(repository):
    Path("params.yaml").write_text("rows: {baseline: {}, res: {}, depth: {}}")
    commit(repository)
    Path("params.yaml").write_text("rows: {baseline: {}, res: {}}")
    words, _ = said()
    assert words.pop("depth") == "removed"
    assert set(words.values()) == {"none: same predictions"}


def test_a_missing_lock_is_reported(repository):
    lock("one")
    commit(repository)
    Path("dvc.lock").unlink()
    assert said()[0]["res"] == ("cannot compare: dvc.lock does not name the data")
