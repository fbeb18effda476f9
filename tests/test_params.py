import itertools
import re
from importlib import import_module

import pytest
import torch
from ruamel.yaml import YAML

from benchmark import errors, params, recipe, scoring
from stages import train as train_stage
from tests.conftest import ARCHITECTURES, ROOT, edit_params, run
from tests.test_architectures import batch, train


def test_the_committed_params_are_right():
    loaded = params.load(ROOT / "params.yaml")
    assert loaded.train.device == "cpu"
    assert loaded.data.source == "cifar10"


def test_every_key_has_a_comment():
    lines = (ROOT / "params.yaml").read_text("utf-8").splitlines()
    for above, line in itertools.pairwise(lines):
        key = re.match(r"( *)(\w+):", line)
        # An architecture's name and sized_by are explained above `architectures`.
        if key and key[2] not in ARCHITECTURES and key[2] != "sized_by":
            assert above.strip().startswith("#"), line


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.lr": 0}, "train.lr: 0 is not allowed: .*greater than 0"),
        ({"train.lr": -0.1}, "train.lr: -0.1 is not allowed: .*greater than 0"),
        ({"train.lr": float("nan")}, "train.lr: nan is not allowed: .*finite"),
        ({"train.lr": float("inf")}, "train.lr: inf is not allowed: .*finite"),
        ({"train.lr": "fast"}, "train.lr: 'fast' is not allowed: .*number"),
        (
            {"train.epochs": 0},
            "train.epochs: 0 is not allowed: .*greater than or equal to 1",
        ),
        ({"train.epochs": 2.5}, r"train.epochs: 2.5 is not allowed: .*integer"),
        ({"train.batch_size": 10**20}, "train.batch_size: 1000+ is not allowed"),
        ({"train.epochs": True}, "train.epochs: True is not allowed: .*integer"),
        ({"train.seeds": 0}, "train.seeds: 0"),
        ({"train.threads": 0}, "train.threads: 0"),
        ({"train.batch_size": 0}, "train.batch_size: 0"),
        ({"train.device": "tpu"}, "train.device: 'tpu' .*'cpu', 'cuda', 'mps' or 'auto'"),
        ({"train.speed": 1}, "train.speed: unknown; allowed are lr, epochs, batch_size"),
        ({"train": None}, "train: None is not allowed"),
        ({"model.n_chans": 1}, "model.n_chans: 1 .*greater than or equal to 2"),
        ({"model.n_blocks": 0}, "model.n_blocks: 0"),
        ({"model": [1]}, r"model: \[1\] is not allowed"),
        ({"data.source": "mnist"}, "data.source: 'mnist' .*'cifar10' or 'synthetic'"),
        ({"data.classes": ["airplane", "kite"]}, "data.classes.1: 'kite' .*'airplane'"),
        ({"data.classes": ["bird"]}, "data.classes: .*at least 2"),
        ({"data.classes": ["bird", "bird"]}, "data.classes: .*only once"),
        ({"data.mean": [0.5, 0.5]}, "data.mean: .*at least 3"),
        ({"data.std": [0.5, 0, 0.5]}, "data.std.1: 0 .*greater than 0"),
        (
            {"data.source": "synthetic", "data.classes": ["cat", "dog"]},
            "only airplane and bird",
        ),
        ({"extra": 1}, "extra: unknown; allowed are data, model, train, architectures"),
        (
            {"architectures.kite": {"sized_by": "model"}},
            "architectures.kite: there is no .*res",
        ),
        ({"architectures.width": None}, "architectures.width: None is not allowed"),
        ({"architectures.width": {}}, "architectures.width.sized_by: missing"),
        (
            {"architectures.width.sized_by": "model"},
            "width.sized_by: .*write model.n_chans",
        ),
        (
            {"architectures.res_deep.sized_by": "data.classes"},
            "res_deep.sized_by: .*write model",
        ),
        ({"architectures.res_deep.lr": -1}, "architectures.res_deep.lr: -1"),
        ({"architectures.dropout.p": 1}, "architectures.dropout.p: 1 .*less than 1"),
        (
            {"architectures.dropout.p": "half"},
            "architectures.dropout.p: 'half' .*a finite number",
        ),
        ({"architectures.dropout.p": True}, "dropout.p: True .*a finite number"),
        ({"architectures.res.lr": float("nan")}, "res.lr: nan .*a finite number"),
        ({"data.mean": [125, 123, 114]}, "data.mean.0: 125 .*less than or equal to 1"),
        ({"data.std": [0.2, 2.5, 0.2]}, "data.std.1: 2.5 .*less than or equal to 1"),
        (
            {"architectures.dropout.q": 0.1},
            "architectures.dropout.q: unknown; .*sized_by, p",
        ),
        (
            {"architectures.l2_reg": {"sized_by": "data.classes"}},
            "l2_reg.l2_lambda: missing",
        ),
        ({"architectures.l2_reg.l2_lambda": -1}, "architectures.l2_reg.l2_lambda: -1"),
        (
            {"architectures": {"width": {"sized_by": "model.n_chans"}}},
            "baseline is missing",
        ),
        ({"architectures": {}}, "baseline is missing"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_key(workplace, changes, message):
    edit_params(workplace, changes)
    with pytest.raises(errors.UserError, match=message) as raised:
        params.load()
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("params.yaml: ")


@pytest.mark.parametrize(
    "key", ["train", "architectures", "train.lr", "model.n_chans", "data.synthetic.seed"]
)
def test_no_key_has_a_default(workplace, key):
    yaml = YAML()
    content = yaml.load(workplace / "params.yaml")
    *sections, last = key.split(".")
    section = content
    for name in sections:
        section = section[name]
    del section[last]
    yaml.dump(content, workplace / "params.yaml")
    with pytest.raises(errors.UserError, match=rf"params.yaml: {re.escape(key)}: missing"):
        params.load()


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2", "\x00", "- 1\n- 2", "", "3"])
def test_a_file_that_is_no_params_is_one_line(workplace, text):
    (workplace / "params.yaml").write_text(text)
    with pytest.raises(errors.UserError, match=r"params\.yaml") as raised:
        params.load()
    assert "\n" not in str(raised.value)


def test_no_file_is_one_line(workplace):
    (workplace / "params.yaml").unlink()
    with pytest.raises(errors.UserError, match="cannot be read"):
        params.load()


def test_small_numbers_as_dvc_writes_them(workplace):
    text = (workplace / "params.yaml").read_text()
    (workplace / "params.yaml").write_text(text.replace("lr: 0.01\n", "lr: 1e-05\n"))
    assert params.load().train.lr == 1e-5


def test_cuda_where_there_is_none(workplace, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    edit_params(workplace, {"train.device": "cuda"})
    with pytest.raises(errors.UserError, match=r"train.device: 'cuda', but there is none"):
        params.load()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Net(:", "is not valid Python"),
        ("x = 1", "defines no class Net"),
        ("class Net:\n def __init__(self, n_classes, p: dict): ...", "annotation of p"),
        (
            "class Net:\n def __init__(self, n_classes, p: Interval.open): ...",
            "annotation of p",
        ),
        ("class Net:\n def __init__(self, n_classes, p: 'wide'): ...", "annotation of p"),
    ],
)
def test_an_architecture_file_that_cannot_be_read_is_one_line(workplace, source, message):
    (workplace / "architectures" / "mine.py").write_text(source)
    edit_params(workplace, {"architectures.mine": {"sized_by": "data.classes"}})
    with pytest.raises(errors.UserError, match=message):
        params.load()


@pytest.mark.parametrize(
    "stage",
    [
        "download",
        "filter",
        "train",
        "export",
        "validate",
        "compare",
        "convolve",
        "report",
        "describe",
    ],
)
def test_every_stage_checks_the_params_before_any_work(workplace, monkeypatch, stage):
    edit_params(workplace, {"train.lr": -1})
    monkeypatch.setattr("sys.argv", [stage, "baseline"])
    with pytest.raises(errors.UserError, match=r"train\.lr: -1 is not allowed"):
        import_module(f"stages.{stage}").main()
    assert not (workplace / "data").exists() and not (workplace / "models").exists()


@pytest.mark.parametrize("arguments", [[], ["kite"], ["width", "res"]])
def test_a_stage_wants_one_architecture_of_params(workplace, monkeypatch, arguments):
    monkeypatch.setattr("sys.argv", ["train", *arguments])
    with pytest.raises(errors.UserError, match="baseline, width"):
        train_stage.main()


def test_check_builds_every_architecture(workplace):
    printed = run("python", "-m", "scripts.check", cwd=workplace, PYTHONPATH=str(ROOT))
    assert printed == f"params.yaml: {len(ARCHITECTURES)} architectures, all is well\n"


def test_check_shows_an_architecture_that_cannot_work(workplace):
    (workplace / "architectures" / "mine.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, n_classes: int):\n"
        "        super().__init__(nn.Conv2d(3, 8, 3), nn.Linear(5, n_classes))\n"
    )
    edit_params(workplace, {"architectures.mine": {"sized_by": "data.classes"}})
    printed = run(
        "python", "-m", "scripts.check", cwd=workplace, check=False, PYTHONPATH=str(ROOT)
    )
    assert printed.startswith("error: architectures/mine.py: RuntimeError: ")
    assert len(printed.splitlines()) == 1


def readme_example(language: str) -> str:
    text = (ROOT / "README.md").read_text("utf-8").split("## Add an architecture")[1]
    return text.split(f"```{language}\n")[1].split("```")[0]


def test_the_architecture_that_the_readme_adds(workplace):
    # Under another name, for a reader may have taken that one.
    entry = readme_example("yaml").replace("mine:", "of_the_readme:")
    code = readme_example("python")
    (workplace / "architectures" / "of_the_readme.py").write_text(code)
    with (workplace / "params.yaml").open("a") as file:
        file.write(entry)
    printed = run("python", "-m", "scripts.check", cwd=workplace, PYTHONPATH=str(ROOT))
    assert printed == f"params.yaml: {len(ARCHITECTURES) + 1} architectures, all is well\n"


def test_the_architecture_that_the_readme_adds_learns():
    namespace: dict = {}
    exec(readme_example("python"), namespace)
    torch.manual_seed(0)
    model = namespace["Net"](n_classes=2, n_chans=8, groups=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    made = recipe.Recipe(model, optimizer, torch.nn.functional.cross_entropy, None)
    images, labels = batch(16)
    assert train(made, images, labels, epochs=100, batch_size=16)[-1] < 0.1
    assert scoring.accuracy(scoring.predict(model, images), labels) == 1
