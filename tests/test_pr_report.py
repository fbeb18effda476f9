"""The report for a pull request, on real branches: a param, a recipe, code, nothing."""

import pytest
from ruamel.yaml import YAML

from benchmark.reporting.comparison import compare
from benchmark.running.errors import UserError
from scripts import pr_report
from tests.conftest import FEW, SMALL_ROWS, commit, edit, edit_params, run
from tests.test_compare import results_of

pytestmark = pytest.mark.slow


@pytest.fixture
def branch(clone, monkeypatch):
    """A branch in a clone without data and models."""
    run("git", "checkout", "-q", "-b", "change", cwd=clone)
    monkeypatch.chdir(clone)
    return clone


def say(base="main"):
    return pr_report.report(base)


def test_nothing_changed(branch):
    text = say()
    assert (
        f"**No accuracy changes**: all {len(SMALL_ROWS)} nets give the same predictions."
        in text
    )
    assert "The results match this code" in text
    assert "<details>" not in text and "Pictures" not in text


def test_n_blocks_changed(retrained, monkeypatch):
    monkeypatch.chdir(retrained)
    edit_params(retrained, {"model.n_blocks": 3})
    text = say("HEAD")
    assert "`train@res_deep`" in text and "The results do not match this code" in text
    run("dvc", "repro", "compare", cwd=retrained)
    text = say("HEAD")
    [row] = [line for line in text.splitlines() if line.startswith("| res_deep")]
    assert "no verdict: it needs 3 seeds" in row
    assert not [line for line in text.splitlines() if line.startswith("| baseline |")]
    assert "model.n_blocks" in text and "metrics/res_deep.json" in text
    assert "metrics/dropout.json" not in text
    assert "`train@res_deep`" not in text and "`plots/ranking.png`" in text


def test_stale_results_are_reported(branch):
    edit(branch / "architectures/dropout.py", "torch.tanh", "torch.relu")
    text = say()
    assert "⚠️ **The results do not match this code.**" in text
    assert "`report`, `train@dropout`, `validate@dropout`." in text
    assert "No accuracy changes" in text
    assert "Changed code: `architectures/dropout.py`" in text


def test_renamed_code_is_changed_code(branch):
    loop = branch / "benchmark/training/loop.py"
    loop.rename(loop.with_name("a_loop.py"))
    commit(branch)
    assert "⚠️ **The results do not match this code.**" in say()


def test_a_removed_net_is_reported(branch):
    path = branch / "params.yaml"
    content = YAML().load(path)
    del content["rows"]["dropout"]
    YAML().dump(content, path)
    text = say()
    assert "| dropout |" in text and "| removed |" in text
    assert f"The other {len(SMALL_ROWS) - 1} give the same predictions" in text


def test_the_notebook_and_the_environment_are_code_too(branch):
    for name in ("notebook/train.py", "requirements.lock"):
        with (branch / name).open("a") as file:
            file.write("# edited\n")
    text = say()
    assert "Changed code: `notebook/train.py`, `requirements.lock`" in text
    assert "docs/notebook.md does not match this code; `make notebook`" in text


def test_later_commits_of_the_base_are_no_change(branch):
    run("git", "checkout", "-q", "main", cwd=branch)
    edit_params(branch, {"train.lr": 0.5})
    commit(branch, "a later commit")
    run("git", "checkout", "-q", "change", cwd=branch)
    text = say()
    assert "train.lr" not in text and "No accuracy changes" in text


def test_pictures_are_linked_on_github(branch, monkeypatch):
    (branch / "plots/ranking.png").write_bytes(b"another picture")
    (branch / "plots/new.png").write_bytes(b"a new picture")
    commit(branch)
    head = run("git", "rev-parse", "HEAD", cwd=branch).strip()
    start = run("git", "rev-parse", "main", cwd=branch).strip()
    monkeypatch.setenv("GITHUB_REPOSITORY", "somebody/cifar2")
    monkeypatch.setenv("HEAD_SHA", head)
    text = say()
    place = "https://github.com/somebody/cifar2/blob"
    before = f"![before]({place}/{start}/plots/ranking.png?raw=true)"
    after = f"![after]({place}/{head}/plots/ranking.png?raw=true)"
    assert f"| plots/ranking.png | {before} | {after} |" in text
    assert f"| – | ![after]({place}/{head}/plots/new.png?raw=true)" in text


def test_more_seeds_are_reported(branch):
    for path in (branch / f"results/{name}/predictions.csv" for name in FEW):
        lines = path.read_text().splitlines()
        more = [f"{line},{'seed_2' if i == 0 else '1'}" for i, line in enumerate(lines)]
        path.write_text("\n".join([*more, ""]))
    text = pr_report.results("main")
    assert "No accuracy changes" not in text
    assert text.count("same predictions for the seeds in common (seeds: 2 → 3)") == len(FEW)


def test_no_common_commit_is_one_line(branch):
    run("git", "checkout", "-q", "--orphan", "apart", cwd=branch)
    commit(branch, "apart")
    with pytest.raises(UserError, match=r"merge-base .* nothing found"):
        say()


def test_it_needs_neither_data_nor_models(clone):
    printed = run("python", "-m", "scripts.pr_report", "HEAD", cwd=clone)
    assert "No accuracy changes" in printed
    assert not (clone / "models").exists() and not (clone / "data").exists()


def test_a_new_row_beside_one_without_results_is_reported(branch):
    run("git", "rm", "-q", "-r", "results/depth_annealed", "metrics/depth_annealed.json",
        cwd=branch)  # fmt: skip
    text = pr_report.new_row("width_annealed")
    assert text.startswith(
        "**New: width_annealed**. There is no verdict, because of results"
    )
    assert "depth_annealed" in text and "\n" not in text


def test_a_new_net_that_changes_verdicts_on_others_says_so():
    """With four nets, two differ by just enough; a fifth makes the correction stricter."""
    found = []
    nets = {"baseline": 1.2, "a": 1.2, "b": 1.35, "c": 1.2}
    for seed in range(20):
        results = results_of({**nets, "new": 1.2}, n_seeds=5, seed=seed)
        moved = pr_report.moved_by("new", compare(results))
        without = compare(results.only(nets))
        for before, after in moved:
            assert before == without.between(before.first, before.second)
            assert after == compare(results).between(before.first, before.second)
            assert before.word != after.word
            assert "new" not in (before.first, before.second)
        found += [(before.word, after.word) for before, after in moved]
    assert ("better", "cannot tell") in found
    assert not [pair for pair in found if pair[0] == "cannot tell"]
