"""The whole pipeline through the real DVC, and what DVC runs again after a change."""

import io
import json
import re
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from dvc.repo import Repo
from ruamel.yaml import YAML

from benchmark import charts, dataset, params, recipe, scoring
from benchmark.results import read
from scripts.readme import README
from stages import compare
from tests.conftest import ARCHITECTURES, ROOT, edit_params, imported_files, run

STAGES = list(YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"])
ENTRIES = params.load(ROOT / "params.yaml").architectures
SIZED_BY_N_CHANS = {n for n, e in ENTRIES.items() if e.sized_by != "data.classes"}
SIZED_BY_N_BLOCKS = {n for n, e in ENTRIES.items() if e.sized_by == "model"}


def modified(repository: Path, notebook: bool = False) -> set[str]:
    """The stages that DVC would run because code, params or results changed.

    notebook: those of notebook/dvc.yaml too, which `dvc repro` leaves alone.
    """
    with Repo(str(repository)) as repo:
        status = repo.status()
    changed = set()
    for stage, entries in status.items():
        # From another folder, a stage's name starts with the path of dvc.yaml.
        pipeline, _, name = stage.rpartition(":")
        folder = Path(pipeline).parent.name
        if folder == "notebook" and not notebook:
            continue
        for entry in entries:
            if entry == "changed command" or {"modified", "new"} & words(entry):
                changed.add(name)
    return changed


def words(entry) -> set[str]:
    """What `dvc status` says of a stage's deps, params and outs."""
    if isinstance(entry, str):
        return {entry}
    return {word for value in entry.values() for word in words(value)}


def train_and_validate(names) -> set[str]:
    return {f"{stage}@{name}" for stage in ("train", "validate") for name in names}


def ran(printed: str) -> set[str]:
    """The stages that `dvc repro` ran, told from what it printed."""
    lines = printed.splitlines()
    return {line.split("'")[1] for line in lines if line.startswith("Running stage '")}


def test_everything_is_made_and_up_to_date(small_run):
    for name in ARCHITECTURES:
        metrics = json.loads((small_run / f"metrics/{name}.json").read_text())
        assert list(metrics) == [
            "params", "train_accuracy", "val_accuracy", "val_accuracy_std",
            "val_accuracy_ci_low", "val_accuracy_ci_high",
        ]  # fmt: skip
        low, mean, high = (
            metrics[f"val_accuracy{each}"] for each in ("_ci_low", "", "_ci_high")
        )
        assert 0 <= low <= mean <= high <= 1
        seeds = pd.read_csv(small_run / f"results/{name}/seeds.csv")
        assert list(seeds["seed"]) == [0, 1]
        assert metrics["val_accuracy"] == pytest.approx(seeds["val_accuracy"].mean())
        assert metrics["train_accuracy"] == pytest.approx(seeds["train_accuracy"].mean())
        predictions = pd.read_csv(small_run / f"results/{name}/predictions.csv")
        assert list(predictions) == ["example", "label", "seed_0", "seed_1"]
        assert len(predictions) == 20
        for seed in (0, 1):
            right = (predictions[f"seed_{seed}"] == predictions["label"]).mean()
            assert right == pytest.approx(seeds["val_accuracy"][seed])
        curve = pd.read_csv(small_run / f"results/{name}/loss_curve.csv")
        assert list(curve) == ["seed", "epoch", "loss", "val_accuracy"]
        assert len(curve) == 2 * 2
        # What is scored while training is what validate scores.
        at_the_end = curve[curve["epoch"] == 2]["val_accuracy"]
        assert list(at_the_end) == list(seeds["val_accuracy"])
        environment = json.loads(
            (small_run / f"results/{name}/environment.json").read_text()
        )
        assert environment["torch"] == torch.__version__
        assert environment["threads"] == 1
    assert (small_run / "plots/accuracy_comparison.png").read_bytes()[:4] == b"\x89PNG"
    assert modified(small_run) == set()
    assert ran(run("dvc", "repro", cwd=small_run)) == set()


@pytest.mark.parametrize("name", ["baseline", "batch_norm"])
def test_predictions_are_those_of_the_trained_models(small_run, monkeypatch, name):
    monkeypatch.chdir(small_run)
    loaded = params.load()
    data = dataset.load(loaded.data.mean, loaded.data.std)
    model = recipe.build_model(recipe.find(name), 2, recipe.settings_of(loaded, name))
    predictions = pd.read_csv(f"results/{name}/predictions.csv")
    seeds = pd.read_csv(f"results/{name}/seeds.csv", index_col="seed")
    assert predictions["label"].tolist() == data.val_labels.tolist()
    for seed in (0, 1):
        state = torch.load(f"models/{name}/seed-{seed}.pt", weights_only=True)
        model.load_state_dict(state)
        expected = scoring.predict(model, data.val_images)
        assert predictions[f"seed_{seed}"].tolist() == expected.tolist()
        on_train = scoring.predict(model, data.train_images)
        right = scoring.accuracy(on_train, data.train_labels)
        assert seeds["train_accuracy"][seed] == pytest.approx(right)


def test_models_and_data_are_not_in_git(small_run):
    tracked = run("git", "ls-files", cwd=small_run).splitlines()
    assert not [name for name in tracked if name.startswith(("data/", "models/", "demo/"))]


@pytest.mark.parametrize(
    "stage",
    [
        "download",
        "filter",
        "train@dropout",
        "validate@res_deep",
        "compare",
        "convolve",
        "report",
        "describe",
    ],
)
def test_a_stage_writes_the_same_bytes_again(scratch, stage):
    printed = run("dvc", "repro", "--force", "--single-item", stage, cwd=scratch)
    assert ran(printed) == {stage}
    assert run("git", "status", "--porcelain", cwd=scratch) == ""
    assert modified(scratch) == set()


def test_the_same_bytes_from_two_processes(scratch, tmp_path):
    # Random numbers beside the weights'; the small run trained its seeds in one process.
    # No checkpoint that another test left: it would be gone on with.
    printed = run(
        "dvc", "repro", "--force", "--single-item", "train@dropout",
        cwd=scratch, LOKY_MAX_CPU_COUNT="2", CHECKPOINTS=str(tmp_path),
    )  # fmt: skip
    assert ran(printed) == {"train@dropout"}
    assert printed.count(": epoch 1/2") == 2
    assert run("git", "status", "--porcelain", cwd=scratch) == ""


def test_the_same_bytes_from_an_experiment_in_another_folder(scratch, tmp_path):
    stages = sorted(train_and_validate(["dropout", "first"]))
    try:
        printed = run(
            "dvc", "exp", "run", "--temp", "--force", "-n", "elsewhere", *stages,
            cwd=scratch, CHECKPOINTS=str(tmp_path),
        )  # fmt: skip
        assert {*stages, "download", "filter"} <= ran(printed)
        assert printed.count(": epoch 1/2") == 4
        [commit] = run(
            "git", "for-each-ref", "--format=%(objectname)", "refs/exps", cwd=scratch
        ).split()
        # dvc.lock has the MD5s of models too.
        kept = ("dvc.lock", "metrics", "results", "plots")
        assert run("git", "diff", "HEAD", commit, "--", *kept, cwd=scratch) == ""
    finally:
        run("dvc", "exp", "remove", "-A", cwd=scratch, check=False)


ALL = set(ARCHITECTURES)
ALL_TRAININGS = {f"train@{name}" for name in ARCHITECTURES}
# The report shows all params, the model card those of the data and the recipe.
SHOWN = {"report", "describe"}
CHANGES = [
    ("data.source", "cifar10", {"download", "filter"} | SHOWN),
    # Nets of fixed size name data.classes as what sizes them: their outputs.
    (
        "data.classes",
        ["bird", "airplane"],
        {"filter", "compare"} | train_and_validate(ALL - SIZED_BY_N_CHANS) | SHOWN,
    ),
    ("data.mean", [0.5, 0.5, 0.5], train_and_validate(ALL) | {"convolve"} | SHOWN),
    ("data.std", [0.5, 0.5, 0.5], train_and_validate(ALL) | {"convolve"} | SHOWN),
    ("data.synthetic.train_images", 70, {"download", "report"}),
    ("data.synthetic.val_images", 30, {"download", "report"}),
    ("data.synthetic.seed", 1, {"download", "report"}),
    ("model.n_chans", 6, train_and_validate(SIZED_BY_N_CHANS) | {"report"}),
    ("model.n_blocks", 3, train_and_validate(SIZED_BY_N_BLOCKS) | {"report"}),
    ("train.lr", 0.1, ALL_TRAININGS | SHOWN),
    ("train.epochs", 3, ALL_TRAININGS | SHOWN),
    ("train.batch_size", 8, ALL_TRAININGS | SHOWN),
    ("train.seeds", 1, ALL_TRAININGS | SHOWN),
    ("train.threads", 2, train_and_validate(ALL) | SHOWN),
    ("train.device", "auto", train_and_validate(ALL) | SHOWN),
    ("train.precision", "bf16", ALL_TRAININGS | SHOWN),
    *(
        (
            f"architectures.{name}.{key}",
            value,
            train_and_validate([name]) | {"compare", "report"},
        )
        for name, key, value in (
            ("l2_reg", "l2_lambda", 0.1),
            ("l1_reg", "l1_lambda", 0.1),
            ("dropout", "p", 0.2),
            ("res_deep", "lr", 0.1),
            ("res", "lr", 0.1),  # a key that was not there
        )
    ),
    (
        "architectures.baseline.lr",
        0.1,
        train_and_validate(["baseline"]) | {"compare"} | SHOWN,
    ),
]


@pytest.mark.parametrize(("key", "value", "expected"), CHANGES, ids=[c[0] for c in CHANGES])
def test_what_a_changed_param_runs_again(scratch, key, value, expected):
    edit_params(scratch, {key: value})
    assert modified(scratch) == expected


def test_every_param_was_changed():
    def keys(section, path=()):
        for key, value in section.items():
            yield from (
                keys(value, (*path, key))
                if isinstance(value, dict)
                else [".".join((*path, key))]
            )

    content = YAML(typ="safe").load(ROOT / "params.yaml")
    # sized_by says what DVC is to watch; the schema allows each net just one.
    wanted = {key for key in keys(content) if not key.endswith(".sized_by")}
    assert wanted <= {key for key, _, _ in CHANGES}


def test_a_relative_mirror_is_found_from_a_copy_of_the_repository(scratch):
    mirror = scratch / "mirror.tar"
    mirror.write_bytes(b"no archive")
    printed = run(
        "dvc", "exp", "run", "--temp", "-S", "data.source=cifar10", "download",
        cwd=scratch, check=False, CIFAR10_MIRROR="mirror.tar",
    )  # fmt: skip
    mirror.unlink()
    assert "error: CIFAR-10 from mirror.tar: is not a whole tar archive" in printed


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        *(
            (
                f"architectures/{name}.py",
                train_and_validate([name])
                | {"report", *(["convolve"] if name == "baseline" else [])},
            )
            for name in ARCHITECTURES
        ),
        ("stages/compare.py", {"compare", "report"}),
        ("stages/report.py", {"report"}),
        ("benchmark/charts.py", {"compare", "report"}),
        ("benchmark/convolutions.py", {"convolve"}),
        ("benchmark/results.py", {"compare", "report", "describe"}),
        ("benchmark/scenes.py", {"download", "convolve"}),
        ("benchmark/significance.py", {"compare", "report"}),
        (
            "benchmark/uncertainty.py",
            {f"validate@{name}" for name in ARCHITECTURES} | {"compare", "report"},
        ),
        ("stages/validate.py", {f"validate@{name}" for name in ARCHITECTURES}),
        ("benchmark/scoring.py", train_and_validate(ARCHITECTURES)),
        ("benchmark/training.py", ALL_TRAININGS | {"convolve"}),
        ("benchmark/cell.py", {f"train@{name}" for name in ARCHITECTURES}),
        ("benchmark/pool_first.py", {f"train@{name}" for name in ARCHITECTURES}),
        ("benchmark/progress.py", set()),
        ("benchmark/workers.py", set()),
        ("benchmark/cluster.py", set()),
        ("scripts/bench.py", set()),
        ("scripts/demo.py", set()),
    ],
)
def test_what_edited_code_runs_again(scratch, file, expected):
    with (scratch / file).open("a") as code:
        code.write("\n# edited\n")
    assert modified(scratch) == expected


def test_a_picture_is_edited_in_a_clone_with_no_cache(clone):
    code = clone / "benchmark/charts.py"
    code.write_text(code.read_text().replace("Airplane or bird:", "Bird or airplane:"))
    printed = run("dvc", "repro", "--allow-missing", cwd=clone)
    assert ran(printed) == {"compare", "report"}
    changed = run("git", "status", "--porcelain", cwd=clone).split()[1::2]
    assert sorted(changed) == [
        "benchmark/charts.py",
        "dvc.lock",
        "plots/accuracy_comparison.png",
    ]
    assert not (clone / "models").exists()


def test_an_experiment_trains_what_it_changes_and_the_diff_shows_it(scratch):
    printed = run(
        "dvc", "exp", "run", "-S", "model.n_blocks=3", "-S", "train.seeds=2", cwd=scratch
    )
    assert ran(printed) == {"train@res_deep", "validate@res_deep", "compare", "report"}
    diff = run("dvc", "metrics", "diff", "--md", cwd=scratch)
    assert "| metrics/res_deep.json | params" in diff.replace("  ", " ")
    assert "baseline" not in diff
    run("git", "checkout", "-q", ".", cwd=scratch)
    run("dvc", "checkout", "-q", cwd=scratch)


def columns_to_drop() -> str:
    """What the README tells `dvc exp show` to leave out."""
    [found] = set(re.findall(r"--only-changed --drop '(.+?)'", README.read_text("utf-8")))
    return found


def test_a_sweep_of_queued_experiments(scratch):
    blocks = (5, 10, 20)
    try:
        for n in blocks:
            run("dvc", "exp", "run", "--queue", "-n", f"blocks-{n}",
                "-S", f"model.n_blocks={n}", cwd=scratch)  # fmt: skip
        run("dvc", "queue", "start", "-j", "2", cwd=scratch)
        end = time.monotonic() + 900
        while re.search("Queued|Running", run("dvc", "queue", "status", cwd=scratch)):
            assert time.monotonic() < end
            time.sleep(1)
        status = run("dvc", "queue", "status", cwd=scratch)
        assert status.count("Success") == len(blocks), status
        table = run(
            "dvc",
            "exp",
            "show",
            "--csv",
            "--only-changed",
            "--drop",
            columns_to_drop(),
            cwd=scratch,
        )
        shown = pd.read_csv(io.StringIO(table)).set_index("Experiment")
        assert not [c for c in shown if c.endswith((".py", ".html", ".png"))]
        assert "model.n_blocks" in shown
        counts = shown["metrics/res_deep.json:params"]
        # n_chans is 4: a convolution with no bias, and a scale and a shift.
        per_block = 4 * 4 * 9 + 2 * 4
        assert counts["blocks-10"] - counts["blocks-5"] == 5 * per_block
        assert counts["blocks-20"] - counts["blocks-10"] == 10 * per_block
        assert run("git", "status", "--porcelain", cwd=scratch) == ""
    finally:
        run("dvc", "queue", "stop", "--kill", cwd=scratch, check=False)
        run("dvc", "queue", "remove", "--all", cwd=scratch, check=False)
        run("dvc", "exp", "remove", "-A", cwd=scratch, check=False)


def test_only_architectures_of_params_are_compared(scratch, monkeypatch):
    monkeypatch.chdir(scratch)
    results = read(["baseline", "res"])
    assert results.names == ["baseline", "res"]
    table = compare.results_table(results, compare.against_baseline(results))
    assert "| res |" in table and "| width |" not in table
    figure = charts.accuracy_comparison(results)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["baseline", "res"]


def test_a_bar_at_chance_shows(scratch, monkeypatch):
    monkeypatch.chdir(scratch)
    axes = charts.accuracy_comparison(read(ARCHITECTURES)).axes[0]
    assert axes.get_ylim()[0] == 0
    assert axes.get_legend()._get_loc() == axes.get_legend().codes["lower right"]
    assert all(label.get_rotation() for label in axes.get_xticklabels())
    assert len([bar for bar in axes.patches if bar.get_height() > 0]) > len(ARCHITECTURES)


def test_the_loss_curves_of_all_on_one_picture(scratch, monkeypatch):
    monkeypatch.chdir(scratch)
    panels = charts.loss_curves(read(ARCHITECTURES)).axes
    assert [axes.get_title(loc="left") for axes in panels] == ARCHITECTURES
    for axes in panels:
        in_colour = [line for line in axes.lines if line.get_color() == charts.VAL_COLOUR]
        assert len(in_colour) == 2
        assert len(axes.lines) == 2 + len(ARCHITECTURES)


def test_the_exported_baseline_loads_into_a_plain_module(small_run):
    path = small_run / "data/birds_vs_airplanes.pt"
    state = torch.load(path, weights_only=True, map_location="cpu")
    assert recipe.build_model(recipe.find("baseline"), 2, {}).load_state_dict(state)
    assert path.read_bytes() == (small_run / "models/baseline/seed-0.pt").read_bytes()


# Modules that a stage imports and that cannot change the bytes of what it writes.
EXEMPT = {
    "benchmark/check.py": "refuses a file or lets it pass",
    "benchmark/checkpoint.py": "going on gives the bytes of never having stopped",
    "benchmark/errors.py": "words of errors",
    "benchmark/files.py": "moves bytes, makes none",
    "benchmark/locks.py": "one process at a time",
    "benchmark/memory.py": "keeps freed memory: speed alone",
    "benchmark/params.py": "checks params; the values are DVC params of the stages",
    "benchmark/progress.py": "shows how far a training is",
    "benchmark/stage.py": "one stage at a time",
    "benchmark/workers.py": "where cells are trained: no byte depends on it",
}


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_modules_that_a_stage_imports(stage):
    declared = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][stage]
    deps = {dep for dep in declared.get("do", declared)["deps"] if dep.endswith(".py")}
    script = ROOT / "stages" / f"{stage}.py"
    files = {script} | imported_files(script, {ROOT / name for name in EXEMPT})
    imported = {file.relative_to(ROOT).as_posix() for file in files}
    # The recipe imports an architecture's file by its name.
    named = {"architectures/${key}.py"} if "foreach" in declared else set()
    if stage == "convolve":
        named = {"architectures/baseline.py"}
    assert deps == imported | named


# What takes a second or more to import, and the stages that need it.
HEAVY = {
    "torch": {"download", "filter", "train", "validate", "convolve", "report"},
    "torchvision": {"download", "filter"},
    "matplotlib": {"compare", "convolve", "report"},
    "pandas": {"validate", "compare", "report", "describe"},
    "scipy": {"validate", "compare", "report"},
    "jinja2": {"report", "describe"},
    "statsmodels": set(),  # only where differences are tested
    "distributed": set(),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_only_what_it_uses(stage):
    code = f"import stages.{stage}, sys; print(*sys.modules)"
    imported = set(run("python", "-c", code, cwd=ROOT).split())
    for module, stages in HEAVY.items():
        assert (module in imported) == (stage in stages), module


@pytest.mark.parametrize("package", ["architectures", "benchmark", "notebook", "stages"])
def test_the_inits_hold_a_docstring_and_nothing_else(package):
    code = (ROOT / package / "__init__.py").read_text()
    assert (
        code.startswith('"""') and code.rstrip().endswith('"""') and code.count('"""') == 2
    )


def test_plots_tell_architectures_apart(clone, tmp_path):
    run("dvc", "plots", "diff", "HEAD", "-q", "-o", str(tmp_path / "page"), cwd=clone)
    page = (tmp_path / "page/index.html").read_text("utf-8")
    assert page.count('"field": "architecture"') >= 3
    assert "Training loss, mean over seeds" in page and "Confusion, seed 0" in page
    for name in ("ranking", "convolution_kernels"):
        assert list((tmp_path / "page/static").glob(f"*{name}.png")), name


def test_the_exported_baseline_is_an_artifact(clone):
    with Repo(str(clone)) as repo:
        [artifacts] = repo.artifacts.read().values()
    assert artifacts["birds-vs-airplanes"].path == "data/birds_vs_airplanes.pt"
    assert "docs/model_card.md" in artifacts["birds-vs-airplanes"].desc
