"""Ask trained nets about pictures: votes, how often such votes are right, and errors."""

import io
import json
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark import params
from benchmark.data.scenes import scene
from benchmark.running.errors import UserError
from benchmark.running.files import md5
from benchmark.running.repository import edit_params
from benchmark.training import recipe, state_dict
from scripts import predict
from tests.conftest import ROOT, changed, gone, holds, keep_rows, run
from tests.test_photos import BAD_FILES, ODD

ASKED = ["baseline", "res_annealed"]
# What each model always answers.
ANSWERS = {"baseline": [1, 1, 0], "res_annealed": [0, 0, 0]}
RED, BLUE = (250, 20, 40), (10, 60, 240)


@pytest.fixture
def models(workplace):
    """A workplace with two rows of three models each, without results."""
    keep_rows(workplace / "params.yaml", "rows", ASKED)
    edit_params(workplace, {"model.n_chans": 4, "train.seeds": 3})
    for name, answers in ANSWERS.items():
        for seed, answer in enumerate(answers):
            model = build(name)
            *_, weight, bias = state = model.state_dict()
            state[weight] = torch.zeros_like(state[weight])
            state[bias] = torch.eye(2)[answer]
            save_model(name, seed, state)
        (workplace / "models" / name / "loss_curve.csv").write_text(name)
    return workplace


@pytest.fixture
def results(models):
    """Results of both rows: a vote of two to one for bird is right for one image of two."""
    (models / "metrics").mkdir()
    for name, accuracy in {"baseline": 0.9, "res_annealed": 0.91}.items():
        (models / "results" / name).mkdir(parents=True)
        shutil.copy(models / f"models/{name}/loss_curve.csv", models / f"results/{name}")
        metrics = {"val_accuracy": accuracy}
        (models / f"metrics/{name}.json").write_text(json.dumps(metrics))
    votes = {"label": [0, 0, 1, 1], "seed_0": [1, 0, 1, 1], "seed_1": [1, 0, 0, 1]}
    official = pd.DataFrame(votes | {"seed_2": [0, 1, 1, 1]})
    official.to_csv(models / "results/baseline/predictions.csv", index=False)
    in_folds = official.assign(fold=[0, 1, 2, 0])
    in_folds.to_csv(models / "results/res_annealed/predictions.csv", index=False)
    return models


def build(name):
    row = params.row_of(params.load(), name)
    return recipe.build_model(recipe.load_architecture(row.net), 2, row.settings).eval()


def save_model(name, seed, state):
    path = Path("models") / name / f"seed-{seed}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(state_dict.to_bytes(state))


def save(path, size=(60, 40)):
    Image.fromarray(scene("bird", np.random.default_rng(0))).resize(size).save(path)
    return str(path)


def said(capsys, *pictures, row=None, as_json=False, sheet=None):
    predict.main(list(pictures), row, as_json, sheet)
    return capsys.readouterr().out


def lines(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_one_picture(results, capsys):
    text = said(capsys, save(results / "photo.png"))
    assert text.startswith(f"{results}/photo.png, 60 × 40 pixels: airplane or bird?\n")
    # The most accurate row comes first.
    assert lines(text)[3:5] == [
        "res_annealed airplane 3 of 3 91.0% –",
        "baseline bird 2 of 3 90.0% 50.0% of 2",
    ]
    assert 'cannot say "neither"' in " ".join(lines(text)) and "Not asked" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_several_pictures(results, capsys):
    pictures = results / "pictures"
    pictures.mkdir()
    for name in ("a.png", "b.jpg"):
        save(pictures / name)
    text = said(capsys, str(pictures))
    # Of baseline, because res_annealed's votes were not tested.
    assert text.startswith("Airplane or bird? The answers of baseline (accuracy: 90.0%):")
    for name in ("a.png", "b.jpg"):
        assert f"{pictures}/{name} bird 2 of 3 50.0% of 2 0 of 1" in lines(text)


def test_json(results, capsys):
    good, bad = save(results / "a.png"), results / "b.png"
    bad.write_text("no picture")
    with pytest.raises(SystemExit) as ended:
        predict.main([str(bad), good], None, True, None)
    printed = capsys.readouterr()
    assert ended.value.code == 1
    first, second = json.loads(printed.out)
    assert first["picture"] == good
    assert first["rows"]["baseline"] == {
        "answer": "bird",
        "votes": {"airplane": 1, "bird": 2},
        "accuracy": 0.9,
        "right_for_such_votes": 0.5,
        "such_votes": 2,
    }
    assert first["rows"]["res_annealed"]["right_for_such_votes"] is None
    assert second["picture"] == str(bad) and "not a picture" in second["error"]
    assert printed.err == f"error: {second['error']}\n"


def colour_model():
    """A model that says airplane if the left half of a picture is redder than blue."""
    model = build("baseline")
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_the_votes_are_those_of_the_nets(models, capsys):
    """Pictures whose colours and sides differ, and a model that tells them apart."""
    loaded = params.load()
    model = colour_model()
    pictures = {}
    for i, (left, right) in enumerate([(RED, BLUE), (BLUE, RED), (RED, RED), (BLUE, BLUE)]):
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[:, :16], pixels[:, 16:] = left, right
        pixels[:9] = 128
        Image.fromarray(pixels).save(models / f"{i}.png")
        pictures[f"{i}.png"] = pixels
    stacked = torch.tensor(np.stack(list(pictures.values())).transpose(0, 3, 1, 2) / 255)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (loaded.data.mean, loaded.data.std))
    with torch.no_grad():
        scores = model(((stacked - mean) / std).float())
        # Move the border between the classes to where it separates the pictures.
        model.fc2.bias[0] -= (scores[:, 0] - scores[:, 1]).median() + 1e-3
        expected = model(((stacked - mean) / std).float()).argmax(dim=1).tolist()
    assert 0 < sum(expected) < 4
    for seed in range(3):
        save_model("baseline", seed, model.state_dict())
    answers = [loaded.data.classes[answer] for answer in expected]
    found = json.loads(said(capsys, *pictures, row="baseline", as_json=True))
    assert [each["picture"] for each in found] == list(pictures)
    assert [each["rows"]["baseline"]["answer"] for each in found] == answers
    table = lines(said(capsys, *pictures, row="baseline"))[3:7]
    assert table == [
        f"{name} {answer} 3 of 3 –" for name, answer in zip(pictures, answers, strict=True)
    ]


def test_a_row_that_is_scored_with_mirror_images_votes_with_them(models, capsys):
    row = params.row_of(params.load(), "baseline")
    images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    save_model("baseline", 0, colour_model().state_dict())
    plain, mirrored = (
        predict.votes_of(
            replace(row, training=row.training.model_copy(update={"flip_at_test": flip})),
            images,
            ["airplane", "bird"],
        ).by_picture
        for flip in (False, True)
    )
    assert plain != mirrored


@pytest.mark.parametrize("end", ["\n", "\0"])
def test_paths_on_standard_input(results, capsys, monkeypatch, end):
    names = ["a b.png", "c\x0cd.png", *(["e\nf.png"] if end == "\0" else [])]
    listed = end.join([*(save(results / name) for name in names), "", ""])
    stdin = SimpleNamespace(buffer=io.BytesIO(listed.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    found = json.loads(said(capsys, "-", as_json=True))
    assert [Path(each["picture"]).name for each in found] == names


def test_unprintable_names_are_escaped(results, capsys):
    assert r"/e\x1bf.png," in said(capsys, save(results / "e\x1bf.png"))
    with pytest.raises(SystemExit):
        predict.main(["no \x1b.png"], None, False, None)
    assert capsys.readouterr().err == "error: no \\x1b.png: No such file or directory\n"


def test_a_tie_has_no_answer(results, capsys):
    (results / "models/baseline/seed-1.pt").unlink()  # one vote for each class remains
    text = said(capsys, save(results / "a.png"), row="baseline")
    assert "baseline airplane or bird 1 of 2 90.0% –" in lines(text)


def test_ties_on_the_test_images_do_not_count(results):
    table = pd.DataFrame({"label": [0, 0, 0], "seed_0": [0, 1, 0], "seed_1": [1, 0, 0]})
    table.to_csv("results/baseline/predictions.csv", index=False)
    assert predict.tested("baseline", ["airplane", "bird"]) == {("airplane", 2): (1.0, 1)}


def test_results_of_other_models_are_not_shown(results, capsys):
    (results / "results/baseline/loss_curve.csv").write_text("of other models")
    text = said(capsys, save(results / "a.png"))
    assert "baseline bird 2 of 3 – –" in lines(text)
    assert "Not known for baseline," in text and "dvc repro validate@baseline" in text


@pytest.mark.parametrize("row", [None, "baseline"])
def test_without_results(models, capsys, row):
    shutil.rmtree(models / "models/res_annealed")
    text = said(capsys, save(models / "a.png"), row=row)
    assert "baseline bird 2 of 3 – –" in lines(text)
    assert ("Not asked: 1 row without models here." in text) == (row is None)


def test_a_sheet_of_what_the_nets_see(results, capsys):
    pictures = [save(results / f"{i}.png") for i in range(8)]
    said(capsys, *pictures, row="baseline", sheet="sheet.png")
    with Image.open("sheet.png") as sheet:
        assert sheet.width > sheet.height  # two lines of six
    read, _ = predict.read_all([results / "0.png"])
    row = params.row_of(params.load(), "baseline")
    votes = predict.Votes(row, [Counter(airplane=1, bird=2)] * 70)
    figure = predict.contact_sheet(read, votes)
    [panel] = figure.axes
    assert panel.get_title() == "0.png\nbird, 2 of 3"
    assert (panel.images[0].get_array() == read[0].pixels).all()
    many = predict.contact_sheet(read * 70, votes)
    assert len(many.axes) == predict.MAX_ON_SHEET
    assert many.get_suptitle() == "Votes of baseline (the first 60 of 70)"


ERRORS = {
    "nothing": ([""], {}, "name a picture or a folder: make predict IMAGE=photo.jpg"),
    "no paths": (["-"], {}, "there is no path on standard input"),
    "row": (
        ["a.png"],
        {"row": "no_row"},
        "no_row: not in params.yaml; choose one of basel",
    ),
    "sheet over it": (["a.png"], {"sheet": "a.png"}, "this is one of the pictures"),
    "sheet in a folder": (["."], {"sheet": "a.png"}, "this is one of the pictures"),
    "sheet kind": (["a.png"], {"sheet": "a.jpg"}, "a sheet is a file that ends in .png"),
    "sheet folder": (["a.png"], {"sheet": "no/a.png"}, "there is no folder no; make it"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(models, name, monkeypatch):
    pictures, options, expected = ERRORS[name]
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"\n")))
    before = Path(save("a.png")).read_bytes()
    arguments = {"row": None, "as_json": False, "sheet": None} | options
    with pytest.raises(UserError, match=expected):
        predict.main(pictures, **arguments)
    assert Path("a.png").read_bytes() == before


def locked(filter=None, train=None, net=None, images="1" * 32):
    """Write a dvc.lock that knows baseline, with these params and MD5s."""

    def write(folder):
        def path(name, content):
            return {"path": name, "md5": content}

        file = "architectures/baseline.py"
        known = md5((folder / file).read_bytes())
        stages = {
            "filter": {
                "params": {"params.yaml": filter or {}},
                "outs": [path("data/cifar2.pt", "1" * 32)],
            },
            "train@baseline": {
                "params": {"params.yaml": train or {}},
                "deps": [path("data/cifar2.pt", images), path(file, net or known)],
            },
        }
        (folder / "dvc.lock").write_text(json.dumps({"stages": stages}))

    return write


def test_models_that_fit_answer(results, capsys):
    locked(filter={"data.classes": ["airplane", "bird"]}, train={"train.lr": 9})(results)
    assert "bird" in said(capsys, save(results / "a.png"), row="baseline")


DAMAGED = {
    "no models": (lambda folder: shutil.rmtree(folder / "models"), "dvc repro train@basel"),
    "model": (holds("models/baseline/seed-1.pt", b"x"), "seed-1.pt: not a state dict of"),
    "other classes": (locked(filter={"data.classes": ["cat", "dog"]}), "has changed since"),
    "other mean": (locked(train={"data.mean": [0.1, 0.2, 0.3]}), "has changed since"),
    "other net": (locked(net="0" * 32), "params.yaml or .*baseline.py has changed since"),
    "other images": (locked(images="0" * 32), "or run `dvc repro train@baseline`"),
    "other size": (changed("model.n_chans", 8), "seed-0.pt: not a state dict of this net"),
    "metrics": (holds("metrics/baseline.json", "<<<<<<< HEAD"), "make it with `dvc repro"),
    "no accuracy": (holds("metrics/baseline.json", "{}"), "baseline.json: no .*accuracy"),
    "no metrics": (gone("metrics/baseline.json"), "baseline.json: .*dvc repro validate@"),
    "empty": (holds("results/baseline/predictions.csv", ""), "predictions.csv: not predic"),
    "conflict": (holds("results/baseline/predictions.csv", "<<<<\na,b\n"), "not predictio"),
    "no predictions": (gone("results/baseline/predictions.csv"), "validate@baseline"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_or_outdated_files(results, name):
    damage, expected = DAMAGED[name]
    save(results / "a.png")
    damage(results)
    with pytest.raises(UserError, match=expected):
        predict.main(["a.png"], None, False, None)


@pytest.mark.slow
def test_the_command_with_good_and_bad_pictures(results):
    """Twenty bad files and all odd pictures: a line each, and no traceback."""
    for number, (content, _) in enumerate(BAD_FILES.values()):
        (results / f"bad-{number}.png").write_bytes(content)
    for name, content in ODD.items():
        (results / f"odd-{name.replace(chr(10), '')}").write_bytes(content)
    names = sorted(
        path.name for path in results.iterdir() if path.name[:3] in ("bad", "odd")
    )
    printed = run(
        "python", "-m", "scripts.predict", "--row", "baseline", "--", *names, "no-such.png",
        cwd=results, check=False, PYTHONPATH=str(ROOT),
    )  # fmt: skip
    found = printed.splitlines()
    assert sum(line.startswith("error: bad-") for line in found) == len(BAD_FILES) >= 20
    assert sum(line.startswith("odd-") for line in found) == len(ODD) >= 10
    assert "error: no-such.png: No such file or directory" in found
    assert "Traceback" not in printed


@pytest.mark.slow
@pytest.mark.parametrize("where", ["argument", "environment"])
def test_neither_make_nor_a_shell_runs_a_file_name(results, where):
    """`make` would run $(shell …), and a shell would run $(…) and `…`."""
    name = "a$(shell touch ran)$$b`touch ran`'\"$(touch ran).png"
    save(results / name)
    shutil.copy(ROOT / "Makefile", results)
    assignment = {f"IMAGE={name}"} if where == "argument" else set()
    made = subprocess.run(
        ["make", "-o", "setup", f"BIN={Path(shutil.which('python')).parent}", "predict",
         *assignment],
        cwd=results, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        | ({} if assignment else {"IMAGE": name}),
    )  # fmt: skip
    assert made.stdout.startswith(f"{name}, 60 × 40 pixels"), made.stderr
    assert not (results / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{"data.mean": [0.5, 0.5, 0.5]}, {"rows.baseline.l2_lambda": 0.1}]
)
def test_models_made_by_dvc_answer_until_their_params_change(
    scratch, monkeypatch, capsys, change
):
    monkeypatch.chdir(scratch)
    save(scratch / "a.png")
    found = json.loads(said(capsys, "a.png", as_json=True))[0]["rows"]
    assert set(found) == set(params.load().rows)
    assert found["baseline"]["accuracy"] is not None
    edit_params(scratch, change)
    with pytest.raises(UserError, match="has changed since these models were trained"):
        predict.main(["a.png"], "baseline", False, None)
