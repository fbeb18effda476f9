"""Whether a change is more than noise, from the predictions in git."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.running.errors import UserError
from scripts import changes
from tests.conftest import commit, run

N_EXAMPLES, N_SEEDS = 2000, 5
SEEDS = [f"seed_{seed}" for seed in range(N_SEEDS)]


def predictions(threshold, seed):
    """Of a net that is right where an image's difficulty is below the threshold."""
    hard = np.random.default_rng(0).normal(size=N_EXAMPLES)
    rest = np.random.default_rng(seed).normal(size=(N_SEEDS, N_EXAMPLES)) * 0.5
    label = np.arange(N_EXAMPLES) % 2
    table = pd.DataFrame({"label": label})
    for name, row in zip(SEEDS, hard + rest < threshold, strict=True):
        table[name] = np.where(row, label, 1 - label)
    table.index.name = "example"
    return table


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
    """The last column of the report, by architecture, and the line below the table."""
    lines = changes.report(changes.changes(base, revision)).splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines[2:-2]]
    return {row[0]: row[-1] for row in rows}, lines[-1]


def test_nothing_changed(repository):
    words, last = said()
    assert set(words.values()) == {"none: the same answers"}
    assert last.startswith("More than noise: nothing. 0 architecture(s)")


def test_another_number_of_seeds_is_no_change(repository):
    write("res", predictions(1.4, 1)[["label", *SEEDS[:3]]])
    words, last = said()
    assert words["res"] == "none: seeds that both have answer the same (seeds: 5 → 3)"
    assert last.startswith("More than noise: nothing.")


def test_worse_and_better_predictions_are_more_than_noise(repository):
    write("res", predictions(1.1, 8))
    write("depth", predictions(1.7, 9))
    write("baseline", predictions(1.4, 10))
    words, last = said()
    assert words["baseline"].startswith("not more than noise (95%: −")
    assert words["res"].startswith("**worse by ")
    assert words["depth"].startswith("**better by ")
    assert sorted(last.split(". ")[0].removeprefix("More than noise: ").split(", ")) == [
        "depth", "res",
    ]  # fmt: skip


def test_between_two_commits_whatever_the_workspace_has(repository):
    write("res", predictions(1.1, 8))
    commit(repository)
    write("res", predictions(1.4, 1))
    assert said("HEAD~1", "HEAD")[0]["res"].startswith("**worse by ")
    assert said("HEAD~1")[0]["res"] == "none: the same answers"


def test_new_removed_and_other_images(repository):
    write("mine", predictions(1.4, 3))
    (repository / "results/depth/predictions.csv").unlink()
    other = predictions(1.4, 1)
    other["label"] = 1 - other["label"]
    write("res", other)
    words, _ = said()
    assert words["mine"] == "new" and words["depth"] == "removed"
    assert words["res"] == "scored on other data: cannot be compared"


def test_one_seed_says_nothing(repository):
    write("res", predictions(1.4, 10)[["label", "seed_4"]])
    assert said()[0]["res"] == "with one seed nothing can be said (seeds: 5 → 1)"


def test_no_seed_in_common_is_tested_too(repository):
    other = predictions(1.1, 10)
    write("res", other.rename(columns={name: f"{name}0" for name in SEEDS[1:]}))
    write("depth", other[["label", "seed_3", "seed_4"]])
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
    assert said()[0]["res"] == "scored on other data: cannot be compared"
    lock("one")
    assert said()[0]["res"].startswith("**worse by ")


def test_in_a_folder_of_a_repository_and_with_any_name(tmp_path, monkeypatch):
    project = tmp_path / "with space" / "project"
    project.mkdir(parents=True)
    monkeypatch.chdir(project)
    run("git", "init", "-q", "-b", "main", cwd=tmp_path)
    write("größe", predictions(1.4, 0))
    commit(tmp_path)
    assert said()[0] == {"größe": "none: the same answers"}


def test_results_of_a_net_that_params_no_longer_have(repository):
    Path("params.yaml").write_text("architectures: {baseline: {}, res: {}, depth: {}}")
    commit(repository)
    Path("params.yaml").write_text("architectures: {baseline: {}, res: {}}")
    words, _ = said()
    assert words.pop("depth") == "removed"
    assert set(words.values()) == {"none: the same answers"}


WHOLE = "example,label,seed_0,seed_1\n0,1,1,1\n1,0,1,0\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<<<<<<< HEAD\n",
        b"a,b\n1,2\n",
        b"label\n0\n",
        WHOLE.replace("1,0,1,0", "1,bird,1,0").encode(),
        WHOLE.replace("1,0,1,0", "1,0,1,bird").encode(),
        WHOLE.replace("1,0,1,0", "1,0,1,").encode(),
        WHOLE.replace("1,0,1,0", "<<<<<<< ours").encode(),
        WHOLE.replace("1,0,1,0", "1,0,1,\xff").encode("latin-1"),
    ],
)
def test_a_file_that_holds_no_predictions_is_one_line(repository, content):
    Path("results/res/predictions.csv").write_bytes(WHOLE.encode())
    assert "res" in said()[0]
    Path("results/res/predictions.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"^results/res/predictions.csv: no predictions \("):
        said()
    commit(repository)
    with pytest.raises(UserError, match=r"^HEAD:./results/res/predictions.csv: no predic"):
        said("HEAD")


@pytest.mark.parametrize("file", ["dvc.lock", "params.yaml"])
@pytest.mark.parametrize("content", ["<<<<<<< ours\na: 1\n", "[1, 2]", "a: ["])
def test_a_damaged_file_of_yaml_is_one_line(repository, file, content):
    Path(file).write_text(content)
    with pytest.raises(UserError, match=rf"^{file}: ") as raised:
        said()
    assert "\n" not in str(raised.value)


def test_a_lock_that_is_gone_is_told_as_such(repository):
    lock("one")
    commit(repository)
    Path("dvc.lock").unlink()
    assert said()[0]["res"] == (
        "dvc.lock does not say what it was scored on: cannot be compared"
    )


def test_nothing_to_compare_is_one_line(repository, monkeypatch):
    (repository / "elsewhere").mkdir()
    monkeypatch.chdir(repository / "elsewhere")
    with pytest.raises(UserError, match=r"^no results/\*/predictions.csv in HEAD or here"):
        said()


def test_a_commit_that_is_not_there_is_one_line(repository):
    with pytest.raises(UserError, match=r"^git ls-tree .*nowhere.*this clone has"):
        said("nowhere")
