"""The committed results are those of the committed code, params and data."""

import json
import re
import tomllib

import pandas as pd
import pytest

from benchmark import params
from benchmark.data import cifar10
from benchmark.training import recipe
from scripts import readme
from tests.conftest import ARCHITECTURES, ROOT, YAML_SAFE, modified, run
from tests.test_architectures import assemble

# A new net has no results yet, and `make test-fast` is to pass all the same.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lock():
    return YAML_SAFE.load(ROOT / "dvc.lock")["stages"]


def metrics(name):
    return json.loads((ROOT / "metrics" / f"{name}.json").read_text())


def results(name, table):
    return pd.read_csv(ROOT / "results" / name / f"{table}.csv")


def test_nothing_is_modified():
    assert modified(ROOT, notebook=True) == set()


def test_every_out_that_git_keeps_is_there(lock):
    kept = [
        out["path"]
        for stage in lock.values()
        for out in stage["outs"]
        if not out["path"].startswith(("data/", "models/"))
    ]
    tracked = set(run("git", "ls-files", cwd=ROOT).splitlines())
    for path in kept:
        files = list((ROOT / path).rglob("*")) or [ROOT / path]
        assert {file.relative_to(ROOT).as_posix() for file in files} <= tracked, path


def test_the_data_is_cifar10s(lock):
    md5s = {out["path"]: out["md5"] for out in lock["download"]["outs"]}
    assert md5s == {
        (cifar10.FOLDER / name).as_posix(): md5
        for name, md5 in cifar10.OFFICIAL_MD5.items()
    }


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_results_belong_together(name):
    loaded = params.load(ROOT / "params.yaml")
    seeds, predictions = results(name, "seeds"), results(name, "predictions")
    curve = results(name, "loss_curve")
    assert list(seeds["seed"]) == list(range(loaded.train.seeds))
    assert len(predictions) == 2_000
    assert predictions["label"].value_counts().to_dict() == {0: 1_000, 1: 1_000}
    for seed, accuracy in zip(seeds["seed"], seeds["val_accuracy"], strict=True):
        right = (predictions[f"seed_{seed}"] == predictions["label"]).mean()
        assert right == pytest.approx(accuracy)
        assert list(curve.query(f"seed == {seed}")["epoch"]) == list(
            range(1, recipe.training_of(loaded, name).epochs + 1)
        )
    expected = {
        "params": recipe.n_parameters(assemble(name).model),
        "train_accuracy": seeds["train_accuracy"].mean(),
        "val_accuracy": seeds["val_accuracy"].mean(),
        "val_accuracy_std": seeds["val_accuracy"].std(),
    }
    assert metrics(name) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_results_were_made_with_the_locked_torch(name):
    locked = re.search(r"(?m)^torch==(\S+)", (ROOT / "requirements.lock").read_text())[1]
    environment = json.loads((ROOT / f"results/{name}/environment.json").read_text())
    assert environment["torch"].split("+")[0] == locked
    assert environment["threads"] == params.load(ROOT / "params.yaml").train.threads


@pytest.mark.parametrize("name", ["width", "l2_reg"])
def test_what_the_notebook_broke_is_mended(name):
    assert results(name, "seeds")["val_accuracy"].min() > 0.84


def test_the_readme_shows_the_table():
    text = readme.README.read_text("utf-8")
    assert readme.with_table(text) == text
    for name in ARCHITECTURES:
        assert f"| {name} |" in text
        assert f"**{metrics(name)['val_accuracy']:.4f}**".replace("**0", "**") in text


def test_the_readme_shows_the_graph_of_dvc_yaml():
    text = readme.README.read_text("utf-8")
    graph = text.split("```mermaid")[1].split("```")[0]
    for stage in YAML_SAFE.load(ROOT / "dvc.yaml")["stages"]:
        assert re.search(rf"\b{stage}\b", graph), stage


def test_the_lock_pins_everything_with_hashes_and_names_no_index():
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert len(entries) > 50
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text and "--index-url" not in text


def test_every_dependency_is_in_the_lock():
    text = (ROOT / "requirements.lock").read_text()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = settings["project"]["dependencies"] + settings["dependency-groups"]["dev"]
    for name in (re.match(r"[a-z0-9.-]+", each)[0] for each in wanted):
        assert re.search(rf"(?m)^{name.replace('.', '[.-]')}==", text), name
