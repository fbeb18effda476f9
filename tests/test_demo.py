"""`make demo`, on fewer architectures, images and epochs."""

import sys

import pytest
from ruamel.yaml import YAML

from benchmark.running.repository import copy_project
from tests.conftest import SMALL, commit, keep_rows, run

pytestmark = pytest.mark.slow
NAMES = ["baseline"]
# Its own settings, and the smaller ones after them.
RUN_DEMO = """
from scripts import demo
demo.SETTINGS += {smaller!r}
demo.main()
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Two rows, to the table: what only draws is made elsewhere (test_every_row.py)."""
    folder = tmp_path_factory.mktemp("repository")
    copy_project(folder)
    keep_rows(folder / "params.yaml", "architectures", NAMES)
    kept = ["download", "filter", "train", "validate", "compare"]
    keep_rows(folder / "dvc.yaml", "stages", kept)
    content = YAML(typ="safe").load(folder / "dvc.yaml")
    YAML().dump({"stages": content["stages"]}, folder / "dvc.yaml")
    commit(folder, "two architectures")
    return folder


@pytest.fixture(scope="module")
def printed(repository):
    settings = SMALL | {"train.seeds": 1}
    smaller = [f"{key}={value}" for key, value in settings.items()]
    return run(sys.executable, "-c", RUN_DEMO.format(smaller=smaller), cwd=repository)


def test_the_repository_stays_as_it_was(repository, printed):
    assert run("git", "status", "--porcelain", cwd=repository) == ""
    assert run("git", "for-each-ref", "refs/exps", cwd=repository) == ""


def test_it_says_where_its_results_are(repository, printed):
    last_lines = printed.split("Drawn images, few of them")[1]
    for name in ("accuracy_comparison.png", "loss_curves.png", "results.md"):
        assert (repository / "demo" / name).is_file()
        assert f"demo/{name}" in last_lines


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_every_stage_and_every_architecture(repository, printed, name):
    assert (repository / "demo" / "metrics" / f"{name}.json").is_file()
    for stage in ("download", "filter", f"train@{name}", f"validate@{name}", "compare"):
        assert f"Running stage '{stage}'" in printed
    table = (repository / "demo" / "results.md").read_text("utf-8")
    for text in (printed, table):
        assert f"| {name} |" in text
        assert "| width |" not in text
    assert "Seed 0, 2 epochs, scored on 20 validation images" in table
