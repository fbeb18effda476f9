"""The stages that DVC would run again after a change, in a real repository."""

import pytest

from tests.conftest import edit_params, modified

pytestmark = pytest.mark.slow

# `*` stands for every net of the small run: baseline, l2_reg, dropout, res_deep.
PARAMS = {
    ("data.source", "cifar10"): "download filter report describe",
    # Nets with sized_by: data.classes, because the classes determine their outputs.
    ("data.classes", ("bird", "airplane")): "filter train@baseline validate@baseline "
    "train@l2_reg validate@l2_reg compare report describe",
    ("data.mean", (0.5, 0.5, 0.5)): "train@* validate@* convolve report describe",
    ("data.std", (0.5, 0.5, 0.5)): "train@* validate@* convolve report describe",
    ("data.synthetic.train_images", 70): "download report",
    ("data.synthetic.val_images", 30): "download report",
    ("data.synthetic.seed", 1): "download report",
    ("model.n_chans", 6): "train@dropout validate@dropout "
    "train@res_deep validate@res_deep report",
    ("model.n_blocks", 3): "train@res_deep validate@res_deep report",
    ("train.lr", 0.1): "train@* report describe",
    ("train.epochs", 3): "train@* report describe",
    ("train.batch_size", 8): "train@* report describe",
    ("train.seeds", 1): "train@* report describe",
    ("train.threads", 2): "train@* validate@* report describe",
    ("train.device", "auto"): "train@* validate@* report describe",
    ("train.precision", "bf16"): "train@* report describe",
    ("architectures.l2_reg.l2_lambda", 0.1): "train@l2_reg validate@l2_reg compare report",
    ("architectures.dropout.p", 0.2): "train@dropout validate@dropout compare report",
    ("architectures.res_deep.lr", 0.1): "train@res_deep validate@res_deep compare report",
    # A new key.
    ("architectures.baseline.lr", 0.1): "train@baseline validate@baseline compare report "
    "describe",
}
CODE = {
    "architectures/dropout.py": "train@dropout validate@dropout compare report",
    "architectures/baseline.py": "train@baseline validate@baseline compare convolve report",
    "benchmark/data/scenes.py": "download filter convolve",
    "benchmark/data/dataset.py": "download filter train@* validate@* convolve report",
    "benchmark/training/loop.py": "train@* validate@* convolve report",
    "benchmark/stats/uncertainty.py": "compare report describe",
    "benchmark/reporting/charts.py": "compare convolve report describe",
    "benchmark/reporting/templates/pairs.md.jinja": "compare convolve report describe",
    "benchmark/running/progress.py": "",
    "benchmark/running/cluster.py": "",
    "benchmark/params.py": "",
    "stages/compare.py": "compare",
    "stages/validate.py": "validate@*",
    "scripts/demo.py": "",
    "studies/portability.py": "",
}
ROWS = ["baseline", "l2_reg", "dropout", "res_deep"]


def stages(said):
    found = set()
    for name in said.split():
        found |= {name.replace("*", row) for row in ROWS} if "*" in name else {name}
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
