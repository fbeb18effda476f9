"""`make demo`, on fewer architectures, images and epochs."""

import sys

import pytest
from ruamel.yaml import YAML

from benchmark.running.repository import copy_project
from tests.conftest import SMALL, commit, keep_rows, run

pytestmark = pytest.mark.slow
# Its own settings, and smaller ones after them.
RUN_DEMO = f"""
from scripts import demo
demo.SETTINGS |= {SMALL | {"train.seeds": 1}!r}
demo.main()
"""


def test_it_runs_every_stage_aside_and_leaves_results_in_demo(tmp_path):
    """One row, to the table: what only draws is made elsewhere (test_every_row.py)."""
    copy_project(tmp_path)
    keep_rows(tmp_path / "params.yaml", "architectures", ["baseline"])
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
    last_lines = printed.split("Generated images, few of them")[1]
    for name in ("accuracy_comparison.png", "loss_curves.png", "results.md"):
        assert (tmp_path / "demo" / name).is_file()
        assert f"demo/{name}" in last_lines
    made = [path.name for path in (tmp_path / "demo/metrics").iterdir()]
    assert made == ["baseline.json"]  # and none of the benchmark's own
    table = (tmp_path / "demo/results.md").read_text("utf-8")
    assert table in printed and "| baseline |" in table and "| width |" not in table
    assert "Seed 0, 2 epochs, scored on 20 validation images" in table
