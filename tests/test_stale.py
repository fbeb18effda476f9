"""The stages that DVC would run again after a change, in a real repository."""

import pytest

from tests.conftest import FEW, IN_FOLDS, edit_params, modified

pytestmark = pytest.mark.slow

CHANGED = {
    "lr": 0.1, "epochs": 3, "batch_size": 8, "seeds": 5, "momentum": 0.5, "flip": True,
    "precision": "bf16", "cutout": 3,
}  # fmt: skip
# `*@` stands for train@ and validate@; @chapter and @annealed for the rows of a recipe.
PARAMS = {
    ("data.source", "cifar10"): "download filter compare report describe",
    # Rows with sized_by: data.classes, because the classes determine their outputs.
    ("data.classes", ("bird", "airplane")): "filter *@baseline *@l2_reg "
    "*@baseline_annealed compare report describe",
    ("data.mean", (0.5, 0.5, 0.5)): "*@chapter *@annealed convolve report describe",
    ("data.std", (0.5, 0.5, 0.5)): "*@chapter *@annealed convolve report describe",
    ("data.holdout", 0.5): "*@chapter *@annealed compare report describe",
    ("data.synthetic.train_images", 70): "download report",
    ("data.synthetic.val_images", 30): "download report",
    ("data.synthetic.seed", 1): "download report",
    ("model.n_chans", 6): "*@dropout *@res_deep *@width_annealed *@depth_annealed report",
    ("model.n_blocks", 3): "*@res_deep report",
    ("train.threads", 2): "*@chapter *@annealed report describe",
    ("train.device", "auto"): "*@chapter *@annealed report describe",
    ("rows.l2_reg.l2_lambda", 0.1): "*@l2_reg compare report",
    ("rows.dropout.p", 0.2): "*@dropout compare report",
    ("rows.res_deep.lr", 0.1): "*@res_deep compare report",
    # A new key.
    ("rows.baseline.lr", 0.1): "*@baseline compare report describe",
    ("rows.depth_annealed.warmup", 0.1): "*@depth_annealed compare report",
    **{(f"annealed.{key}", value): "*@annealed report" for key, value in CHANGED.items()},
    **{
        (f"train.{key}", value): "*@chapter report describe"
        for key, value in CHANGED.items()
    },
}
CODE = {
    "architectures/dropout.py": "*@dropout compare report",
    "architectures/baseline.py": "*@baseline *@baseline_annealed compare convolve report",
    "architectures/sequential.py": "*@l2_reg compare report",
    "benchmark/data/scenes.py": "download filter convolve report",
    "benchmark/data/dataset.py": "download filter *@chapter *@annealed convolve report",
    "benchmark/training/loop.py": "*@chapter *@annealed convolve report",
    "benchmark/stats/uncertainty.py": "compare report describe",
    "benchmark/reporting/charts.py": "compare convolve report describe",
    "benchmark/reporting/templates/pairs.md.jinja": "compare convolve report describe",
    "benchmark/running/progress.py": "",
    "benchmark/running/cluster.py": "",
    "benchmark/params.py": "",
    "benchmark/pool.py": "",
    "stages/compare.py": "compare",
    "stages/validate.py": "validate@chapter validate@annealed",
    "scripts/demo.py": "",
    "studies/portability.py": "",
}


def stages(said):
    """Return the names of stages that a line above stands for."""
    found = set()
    for name in said.split():
        kind, at, row = name.partition("@")
        rows = {"chapter": FEW, "annealed": IN_FOLDS}.get(row, [row])
        kinds = ("train", "validate") if kind == "*" else (kind,)
        found |= {f"{kind}{at}{row}" for kind in kinds for row in rows}
    return found


@pytest.mark.parametrize(("key", "value"), PARAMS, ids=[key for key, _ in PARAMS])
def test_stages_that_run_after_a_changed_param(scratch, key, value):
    edit_params(scratch, {key: list(value) if isinstance(value, tuple) else value})
    assert modified(scratch) == stages(PARAMS[key, value])


@pytest.mark.parametrize("file", CODE)
def test_stages_that_run_after_edited_code(scratch, file):
    with (scratch / file).open("a") as code:
        code.write("\n# edited\n")
    assert modified(scratch) == stages(CODE[file])
