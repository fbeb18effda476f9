"""`make demo`, on fewer architectures, images and epochs."""

import sys

import pytest
from ruamel.yaml import YAML

from benchmark.running.repository import copy_project, edit_params
from tests.conftest import SMALL, commit, keep_rows, run

pytestmark = pytest.mark.slow
# The demo's own settings, then smaller ones.
RUN_DEMO = f"""
from scripts import demo
demo.SETTINGS |= {SMALL | {"train.seeds": 1}!r}
demo.main()
"""


def test_the_demo_runs_every_stage_in_a_copy(tmp_path):
    """Run one net, up to the table. test_every_row.py tests the stages that only draw."""
    copy_project(tmp_path)
    keep_rows(tmp_path / "params.yaml", "rows", ["baseline"])
    # The demo leaves out what its settings do not shorten: other tables, other recipes.
    entry = {"net": "baseline", "recipe": "train", "sized_by": "data.classes"}
    slow = dict(YAML(typ="safe").load(tmp_path / "params.yaml")["annealed"]) | {
        "epochs": 100_000
    }
    own = {
        "slow": slow,
        "rows.slow": entry | {"table": "own", "epochs": 100_000},
        "rows.slower": entry | {"recipe": "slow"},
    }
    edit_params(tmp_path, own)
    kept = ["download", "filter", "train", "validate", "compare"]
    keep_rows(tmp_path / "dvc.yaml", "stages", kept)
    content = YAML(typ="safe").load(tmp_path / "dvc.yaml")
    YAML().dump({"stages": content["stages"]}, tmp_path / "dvc.yaml")
    commit(tmp_path, "one architecture")
    printed = run(sys.executable, "-c", RUN_DEMO, cwd=tmp_path)
    for stage in ("download", "filter", "train@baseline", "validate@baseline", "compare"):
        assert f"Running stage '{stage}':" in printed
    assert run("git", "status", "--porcelain", cwd=tmp_path) == ""
    assert not (tmp_path / "models").exists()
    last_lines = printed.split("This demo used a few generated images")[1]
    for name in ("accuracy_comparison.png", "loss_curves.png", "results.md"):
        assert (tmp_path / "demo" / name).is_file()
        assert f"demo/{name}" in last_lines
    made = [path.name for path in (tmp_path / "demo/metrics").iterdir()]
    assert made == ["baseline.json"]  # and no results of the benchmark
    table = (tmp_path / "demo/results.md").read_text("utf-8")
    assert table in printed and "| baseline |" in table and "| width |" not in table
    assert "one training run (seed 0) of 2 epochs, on 20 test images" in table
