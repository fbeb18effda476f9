"""Ask trained nets about pictures: votes, how often such votes are right, and errors."""

import io
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark import params
from benchmark.data.scenes import scene
from benchmark.running.errors import UserError
from benchmark.running.repository import edit_params
from benchmark.training import recipe, state_dict
from scripts import predict
from tests.conftest import ROOT, holds, keep_rows, run
from tests.test_photos import BAD_FILES, ODD

ASKED = ["baseline", "res_annealed"]


@pytest.fixture
def models(workplace):
    """A workplace with two rows: three untrained models each, which answer as chosen."""
    keep_rows(workplace / "params.yaml", "rows", ASKED)
    edit_params(workplace, {"model.n_chans": 4, "train.seeds": 3})
    loaded = params.load()
    for name, answers in {"baseline": [1, 1, 0], "res_annealed": [0, 0, 0]}.items():
        row = params.row_of(loaded, name)
        for seed, answer in enumerate(answers):
            model = recipe.build_model(recipe.load_architecture(row.net), 2, row.settings)
            state = model.state_dict()
            *_, weight, bias = state
            state[weight] = torch.zeros_like(state[weight])
            state[bias] = torch.eye(2)[answer]
            path = workplace / "models" / name / f"seed-{seed}.pt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(state_dict.to_bytes(state))
    return workplace


@pytest.fixture
def results(models):
    """Results of both rows: a vote of two to one is right for two of three images."""
    (models / "metrics").mkdir()
    for name, accuracy in {"baseline": 0.9, "res_annealed": 0.91}.items():
        (models / "results" / name).mkdir(parents=True)
        metrics = {"val_accuracy": accuracy}
        (models / f"metrics/{name}.json").write_text(json.dumps(metrics))
    votes = {"label": [0, 0, 1, 1], "seed_0": [0, 0, 0, 1], "seed_1": [0, 1, 0, 1]}
    official = pd.DataFrame(votes | {"seed_2": [1, 0, 1, 1]})
    official.to_csv(models / "results/baseline/predictions.csv", index=False)
    in_folds = official.assign(fold=[0, 1, 2, 0])
    in_folds.to_csv(models / "results/res_annealed/predictions.csv", index=False)
    return models


def save(path, size=(60, 40)):
    Image.fromarray(scene("bird", np.random.default_rng(0))).resize(size).save(path)
    return str(path)


def said(capsys, *pictures, row=None, as_json=False):
    predict.main(list(pictures), row, as_json, None)
    return capsys.readouterr().out


def test_one_picture(results, capsys):
    text = said(capsys, save(results / "photo.png"))
    table = [" ".join(line.split()) for line in text.splitlines()][3:5]
    # The most accurate row comes first.
    assert table == [
        "res_annealed airplane 3 of 3 91.0% –",
        "baseline bird 2 of 3 90.0% 66.7% of 3",
    ]
    assert 'cannot say "neither"' in text and "no models here" not in text


def test_several_pictures(results, capsys):
    pictures = results / "pictures"
    pictures.mkdir()
    for name in ("a.png", "b.jpg"):
        save(pictures / name)
    text = said(capsys, str(pictures))
    # Of baseline, because res_annealed's votes could not be tested.
    assert text.startswith("Airplane or bird? The answers of baseline (accuracy: 90.0%):")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for name in ("a.png", "b.jpg"):
        assert f"{pictures}/{name} bird 2 of 3 66.7% of 3 0 of 1" in lines


def test_json(results, capsys):
    good, bad = save(results / "a.png"), results / "b.png"
    bad.write_text("no picture")
    with pytest.raises(SystemExit) as ended:
        predict.main([str(bad), good], None, True, None)
    printed = capsys.readouterr()
    assert ended.value.code == 1
    first, second = json.loads(printed.out)
    assert first["picture"] == str(bad) and "not a picture" in first["error"]
    assert printed.err == f"error: {first['error']}\n"
    assert second["picture"] == good
    assert second["rows"]["baseline"] == {
        "answer": "bird",
        "votes": {"airplane": 1, "bird": 2},
        "accuracy": 0.9,
        "right_for_such_votes": pytest.approx(2 / 3),
        "such_votes": 3,
    }
    assert second["rows"]["res_annealed"]["right_for_such_votes"] is None


def test_paths_on_standard_input(results, capsys, monkeypatch):
    paths = [save(results / name) for name in ("a b.png", "c\td.png")]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*paths, "", ""])))
    text = said(capsys, "-")
    assert "/a b.png " in text and r"/c\td.png " in text


def test_a_tie_has_no_answer(results, capsys):
    (results / "models/baseline/seed-1.pt").unlink()  # one vote for each class remains
    text = said(capsys, save(results / "a.png"), row="baseline")
    # The stored predictions are those of three training runs, so they say nothing of two.
    assert "baseline  airplane or bird  1 of 2       90.0%  –\n" in text


def test_without_results(models, capsys):
    text = said(capsys, save(models / "a.png"), row="baseline")
    assert "baseline  bird              2 of 3           –  –" in text
    assert "1 other row has no models here, so it was not asked." in text
    assert text.endswith("To train one: dvc repro train@res_annealed\n")


def test_the_votes_are_those_of_the_nets(models, capsys):
    """Two grey pictures, and a model that gives them different answers."""
    loaded = params.load()
    row = params.row_of(loaded, "baseline")
    torch.manual_seed(1)
    model = recipe.build_model(recipe.load_architecture(row.net), 2, row.settings).eval()
    greys = {"black.png": 0, "white.png": 255}
    images = torch.stack([torch.full((3, 32, 32), grey / 255) for grey in greys.values()])
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (loaded.data.mean, loaded.data.std))
    with torch.no_grad():
        scores = model((images - mean) / std)
        # Move the border between the classes to where it separates the pictures.
        model.fc2.bias[0] -= (scores[:, 0] - scores[:, 1]).mean()
    for seed in range(3):
        path = models / f"models/baseline/seed-{seed}.pt"
        path.write_bytes(state_dict.to_bytes(model.state_dict()))
    found = []
    for name, grey in greys.items():
        Image.new("RGB", (50, 70), (grey,) * 3).save(models / name)
        [answer] = json.loads(said(capsys, name, row="baseline", as_json=True))
        found.append(answer["rows"]["baseline"]["answer"])
    first, second = scores[:, 0] - scores[:, 1]
    assert found == (["airplane", "bird"] if first > second else ["bird", "airplane"])


def test_a_sheet_of_what_the_nets_see(results, capsys):
    pictures = [save(results / f"{i}.png") for i in range(8)]
    predict.main(pictures, "baseline", False, "sheet.png")
    with Image.open("sheet.png") as sheet:
        assert sheet.width > sheet.height  # two lines of six
    read, _ = predict.read_all([results / "0.png"])
    row = params.row_of(params.load(), "baseline")
    jury = predict.Jury(row, [Counter(airplane=1, bird=2)])
    figure = predict.contact_sheet(read, jury)
    [panel] = figure.axes
    assert panel.get_title() == "bird\n2 of 3"
    assert (panel.images[0].get_array() == read[0].pixels).all()


@pytest.mark.parametrize(
    ("pictures", "row", "expected"),
    [
        ([""], None, "name a picture or a folder: make predict IMAGE=photo.jpg"),
        (["-"], None, "there is no path on standard input"),
        (["a.png"], "no_row", "no_row: not in params.yaml; choose one of baseline, res_"),
        (["a.png"], "res_annealed", "dvc repro train@res_annealed"),
    ],
)
def test_errors(models, pictures, row, expected, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    save(models / "a.png")
    for path in (models / "models/res_annealed").glob("*"):
        path.unlink()
    with pytest.raises(UserError, match=expected):
        predict.main(pictures, row, False, None)


def test_no_models(workplace):
    save(workplace / "a.png")
    with pytest.raises(
        UserError, match="models: no trained model; make it with `dvc repro"
    ):
        predict.main(["a.png"], None, False, None)


def test_a_damaged_model(models):
    save(models / "a.png")
    holds("models/baseline/seed-1.pt", b"no model")(models)
    with pytest.raises(UserError, match=r"seed-1.pt: not a state dict of this net"):
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
        "python", "-m", "scripts.predict", "--row", "baseline", "--", *names,
        cwd=results, check=False, PYTHONPATH=str(ROOT),
    )  # fmt: skip
    lines = printed.splitlines()
    assert sum(line.startswith("error: bad-") for line in lines) == len(BAD_FILES) >= 20
    assert sum(line.startswith("odd-") for line in lines) == len(ODD) >= 10
    assert "Traceback" not in printed
