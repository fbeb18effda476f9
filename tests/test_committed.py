"""The committed results are those of the committed code, params and data."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from benchmark import params
from benchmark.classes import CLASS_NAMES
from benchmark.data import cifar10
from benchmark.reporting.results import read_families
from benchmark.stats.verdicts import format_percent
from scripts import readme
from studies import ladder, recipes, ten_classes, trainings
from studies.depth import __main__ as depth
from studies.depth import folds
from tests.conftest import ARCHITECTURES, ROOT, ROWS, YAML_SAFE, check_results, modified

# A new net has no results yet, but `make test-fast` has to pass.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lock():
    return YAML_SAFE.load(ROOT / "dvc.lock")["stages"]


def metrics(name):
    return json.loads((ROOT / "metrics" / f"{name}.json").read_text())


def results(name, table):
    return pd.read_csv(ROOT / "results" / name / f"{table}.csv")


def test_nothing_is_modified():
    assert modified(ROOT, notebook=True) == set()


def test_the_data_is_cifar10s(lock):
    md5s = {out["path"]: out["md5"] for out in lock["download"]["outs"]}
    assert md5s == {
        (cifar10.FOLDER / name).as_posix(): md5
        for name, md5 in cifar10.OFFICIAL_MD5.items()
    }


@pytest.mark.parametrize("name", ROWS)
def test_results_belong_together(monkeypatch, name):
    monkeypatch.chdir(ROOT)
    check_results(name, params.load(), n_val=2_000)


@pytest.mark.parametrize("name", ROWS)
def test_results_were_made_with_the_locked_torch(name):
    locked = re.search(r"(?m)^torch==(\S+)", (ROOT / "requirements.lock").read_text())[1]
    environment = json.loads((ROOT / f"results/{name}/environment.json").read_text())
    assert environment["torch"].split("+")[0] == locked


@pytest.mark.parametrize("name", ["width", "l2_reg"])
def test_what_the_notebook_broke_is_fixed(name):
    assert results(name, "seeds")["val_accuracy"].min() > 0.84


def test_the_readme_shows_the_table():
    text = readme.README.read_text("utf-8")
    assert readme.with_table(text) == text
    for name in ARCHITECTURES:
        assert f"| {name} |" in text
        assert f"**{format_percent(metrics(name)['val_accuracy'])}**" in text


def test_the_ladder_shows_the_results(monkeypatch):
    monkeypatch.chdir(ROOT)
    loaded = params.load()
    times = ladder.read_times(ladder.rows_to_time(loaded), loaded.data)
    assert ladder.page(read_families(loaded), times) == ladder.PAGE.read_text("utf-8")


def test_each_label_of_the_ladders_picture_is_next_to_its_own_mark(monkeypatch):
    monkeypatch.chdir(ROOT)
    loaded = params.load()
    times = ladder.read_times(ladder.rows_to_time(loaded), loaded.data)
    figure = ladder.chart(read_families(loaded), times["seconds"])
    figure.canvas.draw()
    [axes] = figure.axes
    marks = {text.get_text(): axes.transData.transform(text.xy) for text in axes.texts}
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert marks.keys() == ladder.STEPS.keys()

    def distance(step, box):
        x, y = marks[step]
        return np.hypot(x - np.clip(x, box.x0, box.x1), y - np.clip(y, box.y0, box.y1))

    for step, box in boxes.items():
        distances = {each: distance(each, box) for each in marks}
        assert min(distances, key=distances.get) == step
        assert not any(box.overlaps(boxes[each]) for each in boxes if each != step)


def test_the_page_of_ten_classes_shows_records_for_these_params(monkeypatch):
    monkeypatch.chdir(ROOT)
    loaded = params.load()
    trained = trainings.correct_of(trainings.read_all(recipes.MEASURED))
    on_two = {net: correct.mean() for (net, _), correct in trained.items()}
    on_two["modern"] = metrics("modern")["val_accuracy"]
    records = trainings.read_all(ten_classes.MEASURED)
    page = ten_classes.page(loaded, on_two, records)
    assert page == ten_classes.PAGE.read_text("utf-8")
    assert {"baseline", "modern"} <= {record["net"] for record in records}
    ten = loaded.data.model_copy(update={"classes": list(CLASS_NAMES)})
    for key, row in ten_classes.variants_of(loaded).items():
        of_row = [record for record in records if trainings.key_of(record) == key]
        assert len(of_row) in (0, 3)  # 0: a new net
        assert {r["params"] for r in of_row} <= {trainings.params_hash(row, ten)}


def test_the_times_of_the_depths_belong_to_the_params(monkeypatch):
    monkeypatch.chdir(ROOT)
    loaded = params.load()
    best = folds.best_rates(trainings.read_all(folds.RATES))
    times = json.loads(depth.TIMES.read_text("utf-8"))
    assert best.keys() == set(folds.DEPTHS)
    for blocks, rate in best.items():
        row = folds.variant(loaded, blocks, rate, "folds")
        assert trainings.is_timed(times, str(blocks), row, loaded.data), blocks


def test_the_docs_show_the_graph_of_dvc_yaml():
    text = (ROOT / "docs/pipeline.md").read_text("utf-8")
    graph = text.split("```mermaid")[1].split("```")[0]
    for stage in YAML_SAFE.load(ROOT / "dvc.yaml")["stages"]:
        assert re.search(rf"\b{stage}\b", graph), stage


def test_the_lock_pins_everything_with_hashes_and_names_no_index():
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert len(entries) > 50
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text and "--index-url" not in text
