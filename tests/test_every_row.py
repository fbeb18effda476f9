"""Every net, and the README's example, through every stage once."""

import re

import pandas as pd
import pytest
import torch

import architectures
from benchmark import params
from benchmark.data import dataset
from benchmark.reporting import charts
from benchmark.reporting.comparison import compare as judge
from benchmark.reporting.results import environment_of, read, read_families
from benchmark.running.repository import copy_project
from benchmark.training import recipe, scoring
from stages import compare
from tests.conftest import (
    ARCHITECTURES,
    IN_FOLDS,
    ROOT,
    SMALL,
    check_results,
    edit_params,
    keep_rows,
    modified,
    run,
)

pytestmark = pytest.mark.slow
MINE = "of_the_readme"
LABELS = [*ARCHITECTURES, MINE]
NAMES = [*ARCHITECTURES, MINE, *IN_FOLDS]


def readme_example(language: str) -> str:
    text = (ROOT / "README.md").read_text("utf-8").split("## Is my net better?")[1]
    return text.split(f"```{language}\n")[1].split("```")[0]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A project with the README's net: only its file and its entry are added."""
    folder = tmp_path_factory.mktemp("every") / "row"
    copy_project(folder)
    (folder / f"architectures/{MINE}.py").write_text(readme_example("python"))
    with (folder / "params.yaml").open("a") as file:
        entry = readme_example("yaml").replace("mine:", f"{MINE}:")
        file.write(entry.replace("net: mine", f"net: {MINE}"))
    keep_rows(folder / "params.yaml", "rows", [*ARCHITECTURES, MINE])
    edit_params(folder, SMALL | {f"rows.{name}": row for name, row in IN_FOLDS.items()})
    run("dvc", "repro", "validate", "export", cwd=folder)
    return folder


@pytest.fixture
def here(repository, monkeypatch):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(architectures, "__path__", [str(repository / "architectures")])
    return repository


def families():
    return read_families(params.load())


@pytest.mark.parametrize("name", NAMES)
def test_metrics_and_results_match_the_models(here, name):
    check_results(name, params.load(), n_val=20)
    assert environment_of(name)["torch"] == torch.__version__


@pytest.mark.parametrize("name", ["baseline", "batch_norm"])
def test_predictions_match_the_models(here, monkeypatch, name):
    loaded = params.load()
    data = dataset.load(loaded.data.mean, loaded.data.std)
    row = params.row_of(loaded, name)
    model = recipe.build_model(recipe.load_architecture(row.net), 2, row.settings)
    predictions = pd.read_csv(f"results/{name}/predictions.csv")
    seeds = pd.read_csv(f"results/{name}/seeds.csv", index_col="seed")
    assert predictions["label"].tolist() == data.val_labels.tolist()
    for seed in (0, 1):
        state = torch.load(f"models/{name}/seed-{seed}.pt", weights_only=True)
        model.load_state_dict(state)
        expected = scoring.predict(model, data.normalized(data.val_images))
        assert predictions[f"seed_{seed}"].tolist() == expected.tolist()
        on_train = scoring.predict(model, data.normalized(data.train_images))
        right = scoring.accuracy(on_train, data.train_labels)
        assert seeds["train_accuracy"][seed] == pytest.approx(right)


def test_the_net_is_in_tables_charts_and_report(here):
    run("dvc", "repro", cwd=here)
    assert modified(here) == set()
    kinds = {path.suffix for path in here.glob("checkpoints/*")}
    assert kinds == {".zip"}  # finished cells
    for name in LABELS:
        assert f"| {name} |" in (here / "plots/results.md").read_text("utf-8")
        assert f'<tbody data-net="{name}"' in (here / "plots/report.html").read_text()
    chapter, annealed = families()
    pairs = (here / "plots/pairs.md").read_text("utf-8")
    assert "There are no verdicts, because they need 3 seeds per net." in pairs
    assert all(f"| {name} |" in pairs for name in annealed.names)
    panels = charts.loss_curves([chapter, annealed]).axes
    assert [axes.get_title(loc="left") for axes in panels] == LABELS
    for axes in panels:
        colours = [line.get_color() for line in axes.lines if len(line.get_xdata())]
        label = axes.get_title(loc="left")
        n_seeds = 2 if label in chapter.names else 0, 4 if label in annealed.names else 0
        assert tuple(map(colours.count, charts.RECIPE_COLOURS)) == (*n_seeds, 0, 0)


def test_a_bar_at_chance_shows(here):
    axes = charts.accuracy_comparison(families()[0], 2).axes[0]
    assert axes.get_ylim()[0] == 0
    assert axes.get_legend()._get_loc() == axes.get_legend().codes["lower right"]
    assert all(label.get_rotation() for label in axes.get_xticklabels())
    assert len([bar for bar in axes.patches if bar.get_height() > 0]) > len(LABELS)


def test_only_architectures_of_params_are_compared(here):
    loaded = params.load()
    rows = [params.row_of(loaded, name) for name in ("baseline", "res")]
    results = read(rows, margin=0.01)
    assert results.names == ["baseline", "res"]
    table = compare.results_table([judge(results)])
    assert "| res |" in table and "| width |" not in table


def test_the_tests_of_all_nets_include_it(here):
    """Test the shape, gradients, overfitting, resuming and fast training of that net."""
    files = ("architectures", "checkpoint", "fast_way", "scoring", "params")
    printed = run(
        *["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", MINE],
        *(f"tests/test_{name}.py" for name in files),
        cwd=here,
    )  # fmt: skip
    assert re.search(r"^\d\d passed", printed, re.M), printed


def test_the_exported_baseline_loads_into_a_plain_module(here):
    path = here / "data/baseline.pt"
    state = torch.load(path, weights_only=True, map_location="cpu")
    assert recipe.build_model(recipe.load_architecture("baseline"), 2, {}).load_state_dict(
        state
    )
    assert path.read_bytes() == (here / "models/baseline/seed-0.pt").read_bytes()
