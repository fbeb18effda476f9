"""Whole runs through the real DVC: the same bytes, experiments, clones without data."""

import io
import re
import time

import pandas as pd
import pytest
from dvc.repo import Repo

from tests.conftest import ROOT, edit, edit_params, modified, ran, run

pytestmark = pytest.mark.slow


def test_up_to_date_nothing_runs(small_run):
    assert modified(small_run, notebook=True) == set()
    assert ran(run("dvc", "repro", cwd=small_run)) == set()


def test_models_and_data_are_not_in_git(small_run):
    tracked = run("git", "ls-files", cwd=small_run).splitlines()
    assert not [name for name in tracked if name.startswith(("data/", "models/", "demo/"))]


@pytest.mark.parametrize("stage", ["train@dropout", "validate@res_deep", "compare"])
def test_a_stage_writes_the_same_bytes_again(scratch, tmp_path, stage):
    repro = ["dvc", "repro", "--force", "--single-item", stage]
    # Without the finished cells, so that it trains or scores again.
    printed = run(*repro, cwd=scratch, is_fresh=True, CHECKPOINTS=str(tmp_path))
    assert ran(printed) == {stage}
    assert run("git", "status", "--porcelain", cwd=scratch) == ""
    assert modified(scratch) == set()


def test_the_same_bytes_from_two_processes(scratch, tmp_path):
    # dropout also uses random numbers in training. The small run used one process.
    # Without checkpoints of other tests, which would be resumed.
    printed = run(
        "dvc", "repro", "--force", "--single-item", "train@dropout",
        cwd=scratch, LOKY_MAX_CPU_COUNT="2", CHECKPOINTS=str(tmp_path),
    )  # fmt: skip
    assert ran(printed) == {"train@dropout"}
    assert "2 training runs, 2 at a time" in printed
    assert run("git", "status", "--porcelain", cwd=scratch) == ""


def test_the_same_bytes_from_an_experiment_in_another_folder(scratch, tmp_path):
    try:
        printed = run(
            "dvc", "exp", "run", "--temp", "--force", "-n", "elsewhere", "validate@dropout",
            cwd=scratch, CHECKPOINTS=str(tmp_path),
        )  # fmt: skip
        assert ran(printed) == {"download", "filter", "train@dropout", "validate@dropout"}
        assert "2 of 2 training runs done" in printed
        find = ["git", "for-each-ref", "--format=%(objectname)", "refs/exps"]
        [commit] = run(*find, cwd=scratch).split()
        # dvc.lock also has the MD5s of the models.
        kept = ("dvc.lock", "metrics", "results", "plots")
        assert run("git", "diff", "HEAD", commit, "--", *kept, cwd=scratch) == ""
    finally:
        run("dvc", "exp", "remove", "-A", cwd=scratch, check=False)


def test_a_chart_is_edited_in_a_clone_without_a_cache(clone):
    edit(
        clone / "stages/compare.py",
        "charts.accuracy_comparison(",
        "charts.loss_curves(families) or (",
    )
    printed = run("dvc", "repro", "--allow-missing", cwd=clone)
    assert ran(printed) == {"compare"}
    changed = run("git", "status", "--porcelain", cwd=clone).split()[1::2]
    assert sorted(changed) == [
        "dvc.lock",
        "plots/accuracy_comparison.png",
        "stages/compare.py",
    ]
    assert not (clone / "models").exists()


def test_an_experiment_trains_only_what_it_changes(retrained):
    changes = ["-S", "model.n_blocks=3", "-S", "train.seeds=2"]
    printed = run("dvc", "exp", "run", *changes, "validate@res_deep", cwd=retrained)
    assert ran(printed) == {"train@res_deep", "validate@res_deep"}
    diff = run("dvc", "metrics", "diff", "--md", cwd=retrained)
    assert "| metrics/res_deep.json | params" in diff.replace("  ", " ")
    assert "baseline" not in diff


def test_an_experiment_in_a_fresh_clone_trains_only_what_it_changes(clone):
    """As in the README: without the models, which `dvc exp run` cannot look into."""
    run("dvc", "repro", "filter", cwd=clone)
    changes = ["-S", "model.n_blocks=3", "-S", "++rows.res_deep.precision=bf16"]
    printed = run("dvc", "exp", "run", "--allow-missing", *changes, cwd=clone)
    assert "Experiment results have been applied to your workspace" in printed
    assert not (clone / "models/baseline").exists()
    assert "res_deep" in run("dvc", "metrics", "diff", cwd=clone)


def columns_to_drop() -> str:
    """The columns that the docs tell `dvc exp show` to drop."""
    text = (ROOT / "docs/running.md").read_text("utf-8")
    [found] = set(re.findall(r"--only-changed --drop '(.+?)'", text))
    return found


def test_a_sweep_of_queued_experiments(scratch):
    blocks = (5, 10)
    try:
        for n in blocks:
            run("dvc", "exp", "run", "--queue", "-n", f"blocks-{n}",
                "-S", f"model.n_blocks={n}", "validate@res_deep", cwd=scratch)  # fmt: skip
        run("dvc", "queue", "start", "-j", "2", cwd=scratch)
        end = time.monotonic() + 120
        find = ["git", "for-each-ref", "refs/exps/*/*/blocks-*"]
        while len(run(*find, cwd=scratch).splitlines()) < len(blocks):
            assert time.monotonic() < end, run("dvc", "queue", "status", cwd=scratch)
            time.sleep(0.5)
        while "Running" in (status := run("dvc", "queue", "status", cwd=scratch)):
            assert time.monotonic() < end, status
        assert status.count("Success") == len(blocks), status
        show = ["dvc", "exp", "show", "--csv", "--only-changed", "--drop"]
        table = run(*show, columns_to_drop(), cwd=scratch)
        shown = pd.read_csv(io.StringIO(table)).set_index("Experiment")
        assert not [c for c in shown if c.endswith((".py", ".html", ".png"))]
        assert "model.n_blocks" in shown
        counts = shown["metrics/res_deep.json:params"]
        # n_chans is 4: a convolution without bias, a scale and a shift.
        assert counts["blocks-10"] - counts["blocks-5"] == 5 * (4 * 4 * 9 + 2 * 4)
        assert run("git", "status", "--porcelain", cwd=scratch) == ""
    finally:
        run("dvc", "queue", "stop", "--kill", cwd=scratch, check=False)
        run("dvc", "queue", "remove", "--all", cwd=scratch, check=False)
        run("dvc", "exp", "remove", "-A", cwd=scratch, check=False)


def test_a_row_of_the_notebook_runs_and_the_benchmark_does_not(scratch):
    edit_params(scratch / "notebook", {"rows.res_deep.lr": 0.01})
    target = "notebook/dvc.yaml:train@res_deep"
    assert ran(run("dvc", "repro", cwd=scratch)) == set()
    assert ran(run("dvc", "repro", target, cwd=scratch)) == {target}
    assert not list(scratch.glob("checkpoints/notebook*"))
    assert ran(run("dvc", "repro", target, cwd=scratch)) == set()
    shown = run("dvc", "metrics", "show", cwd=scratch).replace("\\", "/")
    assert "notebook" not in shown and "metrics/res_deep.json" in shown


def test_plots_distinguish_the_nets(clone, tmp_path):
    run("dvc", "plots", "diff", "HEAD", "-q", "-o", str(tmp_path / "page"), cwd=clone)
    page = (tmp_path / "page/index.html").read_text("utf-8")
    assert page.count('"field": "row"') >= 3
    assert "Training loss, mean over seeds" in page and "Confusion, seed 0" in page
    for name in ("ranking", "convolution_kernels"):
        assert list((tmp_path / "page/static").glob(f"*{name}.png")), name


def test_the_exported_baseline_is_an_artifact(clone):
    with Repo(str(clone)) as repo:
        [artifacts] = repo.artifacts.read().values()
    assert artifacts["baseline"].path == "data/baseline.pt"
    assert "docs/model_card.md" in artifacts["baseline"].desc


def test_in_a_clone_a_row_says_if_it_trains_only_for_its_models(clone):
    note = "note: {} trains only because its models are missing here"
    deeper = ["dvc", "exp", "run", "-S", "model.n_blocks=3"]
    run("dvc", "repro", "filter", cwd=clone)
    printed = run(*deeper, "train@baseline", cwd=clone)
    assert note.format("baseline") in printed and "with --allow-missing" in printed
    run("git", "checkout", "-q", ".", cwd=clone)
    printed = run(*deeper, "--allow-missing", cwd=clone)
    trained = {each for each in ran(printed) if each.startswith("train")}
    assert trained == {"train@res_deep"} and "note:" not in printed
    run("git", "checkout", "-q", "params.yaml", cwd=clone)
    edit(clone / "benchmark/training/step.py", "in_bf16 =", "in_bf16 = 2 *")
    printed = run("dvc", "repro", "--single-item", "train@baseline", cwd=clone)
    assert ran(printed) == {"train@baseline"} and "note:" not in printed
