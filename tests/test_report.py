"""The report, the model card and the costs; the report opens offline."""

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmark import params
from benchmark.reporting import tables
from benchmark.reporting.comparison import compare
from benchmark.reporting.costs import (
    SPEED,
    Cost,
    by_cost,
    cost_of,
    front,
    training_seconds,
)
from benchmark.reporting.page.net import pack
from benchmark.reporting.results import read, read_json
from benchmark.reporting.scales import cost_scale
from benchmark.reporting.summary import summary
from benchmark.running.errors import UserError
from benchmark.stats.verdicts import format_percent
from benchmark.training import recipe
from stages import convolve, describe, report
from tests.conftest import (
    ARCHITECTURES,
    FEW,
    ROOT,
    YAML_SAFE,
    edit_params,
    keep_rows,
    run,
)
from tests.test_architectures import build_training
from tests.test_compare import results_of

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
LARGEST = 1024 * 1024
COMMITTED = ROOT / report.COMMITTED
PUBLISHED = {  # parameters and multiply-adds, counted by hand
    "baseline": (18_090, 3 * 16 * 9 * 32**2 + 16 * 8 * 9 * 16**2 + 512 * 32 + 64),
    "first": (1_574_402, 3072 * 512 + 1024),
}


class Page(HTMLParser):
    """Collects addresses, alternative texts and ids of a page."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.alternatives, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.addresses += [given[k] for k in ("src", "href", "srcset") if k in given]
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "img":
            self.alternatives.append(given.get("alt", ""))
        assert tag not in ("iframe", "object"), tag
        assert tag != "script" or "src" not in given


@pytest.mark.parametrize("name", PUBLISHED)
def test_costs_match_a_count_by_hand(name):
    found = cost_of(recipe.load_architecture(name), 2, {})
    assert (found.parameters, found.multiply_adds) == PUBLISHED[name]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_costs_belong_to_the_trained_net(name):
    loaded = params.load(ROOT / "params.yaml")
    row = params.row_of(loaded, name)
    found = cost_of(recipe.load_architecture(row.net), 2, row.settings)
    assert found.parameters == recipe.n_parameters(build_training(name).model)
    assert found.multiply_adds > 10_000


def test_flips_at_test_time_double_the_multiply_adds():
    baseline = recipe.load_architecture("baseline")
    once, twice = (cost_of(baseline, 2, {}, flip=flip) for flip in (False, True))
    assert twice == dataclasses.replace(once, multiply_adds=2 * once.multiply_adds)
    loaded = params.load(ROOT / "params.yaml")
    rows = [params.row_of(loaded, f"{step}_ladder") for step in ("recipe", "flips")]
    once, twice = (report.cost_of_row(loaded, row).multiply_adds for row in rows)
    assert twice == 2 * once


def test_the_hardest_images_come_first():
    results = results_of({"baseline": 1.2, "better": 1.7, "alike": 1.2}, n_seeds=2)
    label = results.predictions["baseline"]["label"]
    for each in results.predictions.values():
        for seed in ("seed_0", "seed_1"):
            each[seed] = label
            each.loc[7, seed] = 1 - label[7]
    results.predictions["better"].loc[3, "seed_0"] = 1 - label[3]
    results.predictions["better"].loc[5, ["seed_0", "seed_1"]] = 1 - label[5]
    results.predictions["alike"].loc[5, ["seed_0", "seed_1"]] = 1 - label[5]
    # Only one of three nets gets image 9 wrong.
    results.predictions["alike"].loc[9, ["seed_0", "seed_1"]] = 1 - label[9]
    first, second = tables.hardest(results, limit=9)
    assert (first.index, second.index) == (7, 5)
    assert first.correct == [] and second.correct == ["baseline"]
    assert second.wrong == {"baseline": 0, "better": 1, "alike": 1}
    right = int(label[5])
    assert second.votes == {"baseline": right, "better": 1 - right, "alike": 1 - right}
    assert [image.index for image in tables.hardest(results, limit=1)] == [7]


def test_hard_images_have_the_numbers_of_the_predictions():
    results = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=2)
    for predictions in results.predictions.values():
        predictions["example"] += 5000  # images that were held out
    hard = tables.hardest(results, limit=3)
    assert hard and all(image.index >= 5000 for image in hard)


def test_tied_votes_go_to_the_true_class():
    results = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=2)
    label = results.predictions["baseline"]["label"]
    for each in results.predictions.values():
        each["seed_0"], each["seed_1"] = label, 1 - label
    assert set(label) == {0, 1} and tables.hardest(results, limit=9) == []


def test_a_net_with_data_dependent_control_flow_can_be_counted():
    class Net(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.fc = nn.Linear(3072, n_classes)

        def forward(self, images):
            if images.mean() > 100:
                images = images / 255
            return self.fc(images.flatten(1))

    given = dataclasses.replace(recipe.load_architecture("baseline"), name="mine", net=Net)
    assert cost_of(given, 2, {}).multiply_adds == 2 * 3072


def test_the_confusion_matches_the_predictions():
    results = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=2)
    table = tables.confusion([results], ["airplane", "bird"])
    right = table["images"].where(table["actual"] == table["predicted"], 0)
    for name in ("baseline", "better"):
        each, of_row = results.predictions[name], table["row"] == name
        assert table["images"][of_row].sum() == len(each)
        assert right[of_row].sum() == (each["seed_0"] == each["label"]).sum()
    birds = table.query(
        "row == 'baseline' and actual == 'bird' and predicted == 'airplane'"
    )
    each = results.predictions["baseline"]
    assert birds["images"].item() == (each["label"] > each["seed_0"]).sum()


def test_the_front_has_the_nets_that_no_cheaper_net_equals():
    accuracy = {"a": 0.85, "b": 0.8, "c": 0.9, "d": 0.95}
    multiply_adds = {"a": 20, "b": 10, "c": 30, "d": 20}
    costs = {name: Cost(9, number) for name, number in multiply_adds.items()}
    assert by_cost(costs) == ["b", "a", "d", "c"]
    assert front(multiply_adds, accuracy) == ["b", "d"]
    assert front(multiply_adds, accuracy | {"a": 0.95, "c": 0.95}) == ["b", "a"]


def test_the_scale_of_costs_is_logarithmic_and_allows_0():
    scale = cost_scale([Cost(9, 200), Cost(9, 20_000), Cost(9, 2_000)])
    shares = [scale.share(count) for count in (100, 200, 2_000, 20_000)]
    assert shares[0] == 0 and shares[-1] == 1
    assert shares[2] - shares[1] == pytest.approx(shares[3] - shares[2])
    free = cost_scale([Cost(9, 0), Cost(9, 1000)])
    assert [free.place(0), free.place(1000)] == ["0%", "100%"]
    assert cost_scale([Cost(9, 0)]).place(0) == "0%"


def test_all_smallest_nets_are_named():
    comparison = compare(results_of({"baseline": 1.2, "a": 2.2, "b": 2.2, "c": 2.2}, 5))
    best = comparison.pairs[0].first
    costs = {name: Cost(5 + (name == best), 20) for name in ("a", "b", "c")}
    costs["baseline"] = Cost(1, 20)
    others = [
        name for name in comparison.results.by_accuracy if name not in (best, "baseline")
    ]
    assert f"The smallest of these are {' and '.join(others)}." in summary(
        comparison, costs
    )
    costs[best] = Cost(5, 20)
    assert "smallest" not in summary(comparison, costs)


@pytest.mark.parametrize(
    ("means", "n_seeds", "said"),
    [
        (
            {"baseline": 1.2, "best": 2.2},
            5,
            r"best comes first: .+ points more than the baseline. It is better than every",
        ),
        (
            {"baseline": 1.2, "best": 2.2, "other": 2.2},
            5,
            r"more than the baseline. But (best|other) could be as good. The smallest",
        ),
        ({"baseline": 1.2, "better": 1.21}, 3, r"correctly. But any other net could be as"),
        (
            {"baseline": 1.2, "best": 2.2},
            1,
            r"best comes first: .+ these runs cannot say whether it is really better",
        ),
        (
            {"baseline": 1.2},
            3,
            r"^baseline classifies \d\d\.\d% of the images correctly\.$",
        ),
    ],
)
def test_the_report_begins_with_what_came_out(means, n_seeds, said):
    comparison = compare(results_of(means, n_seeds))
    costs = {name: Cost(9 + i, 20) for i, name in enumerate(means)}
    if len(means) == 3:
        costs["baseline"] = Cost(99, 20)
        costs[comparison.pairs[0].second] = Cost(1, 20)
    assert re.search(said, summary(comparison, costs))


def test_training_times_are_those_of_the_measured_nets(workplace):
    loaded = params.load(ROOT / "params.yaml")
    measured = read_json(ROOT / SPEED, "")
    SPEED.parent.mkdir()
    shutil.copy(ROOT / SPEED, SPEED)
    found = training_seconds(loaded)
    # The others train in bf16, or have other names than the measured nets.
    chapter = [name for name in loaded.rows if name in ARCHITECTURES and name != "modern"]
    annealed = [f"{name}_annealed" for name in chapter]
    assert set(found) == {*chapter, *annealed, "baseline_ladder"}
    rate = np.median(measured["rates"]["baseline"]["pipeline"]) / 2
    assert found["baseline"] == pytest.approx(100 * 10_000 / rate)
    assert found["baseline_annealed"] == pytest.approx(found["baseline"] / 5)
    deeper = loaded.model_copy(
        update={"model": loaded.model.model_copy(update={"n_blocks": 3})}
    )
    missing = set(found) - set(training_seconds(deeper))
    assert missing == {"res_deep", "res_deep_annealed"}
    SPEED.unlink()
    assert training_seconds(loaded) == {}


@pytest.mark.slow
def test_the_committed_report_is_complete():
    text = COMMITTED.read_text("utf-8")
    page = Page(text)
    assert len(text) < LARGEST
    assert all(each.startswith(("data:", "#")) for each in page.addresses)
    assert {each[1:] for each in page.addresses if each.startswith("#")} <= set(page.ids)
    assert page.alternatives == []
    assert "@import" not in text and "url(" not in text
    for name in ARCHITECTURES:
        assert f'<tbody data-net="{name}" ' in text
    lock = YAML_SAFE.load(ROOT / "dvc.lock")["stages"]
    assert all(out["md5"] in text for out in lock["download"]["outs"])
    assert "It was trained for a few seconds, on generated images" in text


def explain(text):
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def all_wrong_on_the_first_image(path):
    table = pd.read_csv(path, index_col="example")
    table.iloc[0, 1:] = 1 - table.iloc[0, 0]
    table.to_csv(path)


@pytest.mark.slow
def test_pictures_with_real_images_stay_out_of_git(scratch):
    for path in (scratch / f"results/{name}/predictions.csv" for name in FEW):
        all_wrong_on_the_first_image(path)
    for stage in ("convolve", "report"):
        run("python", "-m", f"stages.{stage}", "--real-images", cwd=scratch)
    text = (scratch / report.REAL).read_text("utf-8")
    alternatives = Page(text).alternatives
    images = [a for a in alternatives if re.match(r"Test image \d+, of", a)]
    assert 0 < len(images) <= report.MAX_HARDEST
    assert images[0].startswith("Test image 0, of")
    assert "the benchmark's own baseline, seed 0, running" in explain(text)
    found = json.loads(text.split('id="data">')[1].partition("</script>")[0])["net"]
    weights = torch.load(scratch / "models/baseline/seed-0.pt", weights_only=True)
    assert found["kind"] == "real"
    assert found["layers"]["fc2"]["weight"] == pack(weights["fc2.weight"])
    generated, real = (
        scratch / folder / "layers.png" for folder in (convolve.GENERATED, convolve.REAL)
    )
    assert generated.read_bytes() != real.read_bytes()
    run("git", "checkout", "-q", "results", cwd=scratch)
    assert run("git", "status", "--porcelain", cwd=scratch) == ""


@pytest.mark.slow
@pytest.mark.parametrize("stage", [convolve, report])
def test_real_images_of_other_data_are_refused(scratch, monkeypatch, stage):
    monkeypatch.chdir(scratch)
    path = Path("data/cifar2.pt")
    content = path.read_bytes()
    for other in (b"", content[:-1], content + b"0"):
        path.unlink()
        path.write_bytes(other)
        with pytest.raises(
            UserError, match=r"^data.cifar2\.pt: the results in dvc.lock are for other"
        ):
            stage.main(real_images=True)
    run("dvc", "checkout", "-q", "--force", "data/cifar2.pt", cwd=scratch)
    assert path.read_bytes() == content


@pytest.mark.slow
def test_with_one_seed_the_report_shows_no_differences(scratch, monkeypatch):
    keep_rows(scratch / "params.yaml", "rows", FEW)
    for path in (scratch / f"results/{name}/predictions.csv" for name in FEW):
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    for path in scratch.glob("results/*/seeds.csv"):
        path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    monkeypatch.chdir(scratch)
    text = explain(report.render_report(params.load(), report.COMMITTED))
    assert "One seed cannot show which differences are real." in text
    assert "there is nothing to compare" in text and "better by" not in text
    assert "better by" in explain(COMMITTED.read_text("utf-8"))


@pytest.mark.slow
def test_values_are_escaped(scratch, monkeypatch):
    monkeypatch.chdir(scratch)
    environment = Path("results/baseline/environment.json")
    environment.write_text('{"processor": "<script>alert(1)</script>"}')
    text = report.render_report(params.load(), report.COMMITTED)
    assert "<script>alert" not in text and "&lt;script&gt;" in text


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_offline_without_messages(width, scheme):
    from playwright.sync_api import sync_playwright

    said, asked = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(COMMITTED.as_uri())
        for summary in page.locator("summary:visible").all():
            summary.click()
        loaded = page.evaluate(
            "[...document.images].every(i => i.complete && i.naturalWidth)"
        )
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        browser.close()
    assert said == []
    assert [each for each in asked if not each.startswith("data:")] == [COMMITTED.as_uri()]
    assert loaded
    assert overflow <= 0
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_each_table_has_the_ideas_of_its_own_nets():
    """Two tables can have different nets of the same name."""
    loaded = params.load()
    both = [params.row_of(loaded, name) for name in ("res", "first")]
    tables = [
        report.Table(SimpleNamespace(rows={"res": row}), None, None, {}, {}) for row in both
    ]
    first, second = (table.ideas["res"] for table in tables)
    assert "skip connection" in first.text and "fully connected" in second.text


def test_the_idea_of_a_row_with_its_own_table_and_settings_is_what_it_sets():
    row = params.row_of(params.load(ROOT / "params.yaml"), "deeper_ladder")
    idea = tables.idea_of(row)
    assert idea == tables.Idea("modern, with n_chans 64, skip false", "–")
    assert (
        "skip connection" in tables.idea_of(dataclasses.replace(row, own_table=None)).text
    )


def test_a_net_that_cannot_be_imported_is_one_line(workplace, monkeypatch):
    Path("architectures/broken.py").write_text("import no_such_module")
    monkeypatch.setattr("architectures.__path__", [str(workplace / "architectures")])
    loaded = params.load()
    row = dataclasses.replace(params.row_of(loaded, "res"), name="res", net="broken")
    with pytest.raises(UserError, match=r"^res: architectures/broken\.py, line 1: Module"):
        report.cost_of_row(loaded, row)


@pytest.mark.slow
def test_the_model_card_matches_the_metrics(small_run, monkeypatch):
    monkeypatch.chdir(small_run)
    text = describe.CARD.read_text("utf-8")
    assert "Generated images, not photographs" in text
    results = read([params.row_of(params.load(), name) for name in FEW], margin=0.01)
    first = results.seeds["baseline"]["val_accuracy"][0]
    assert f"| {format_percent(first)} |" in text


def test_the_committed_model_card_matches_the_metrics():
    text = (ROOT / describe.CARD).read_text("utf-8")
    assert re.findall(r"(?m)^## (\w+)", text)[-4:] == [
        "Data", "Training", "Accuracy", "Limits"
    ]  # fmt: skip
    assert "CIFAR-10" in text and "95% interval" in text
    code = re.search(r"```python\n(.+?)```", text, flags=re.DOTALL)[1]
    compile(code, "the model card", "exec")
    metrics = json.loads((ROOT / "metrics/baseline.json").read_text())
    train, val = (format_percent(metrics[f"{each}_accuracy"]) for each in ("train", "val"))
    assert f"| {train} | {val} |" in text


@pytest.mark.slow
def test_the_model_card_follows_the_recipe(scratch, monkeypatch):
    monkeypatch.chdir(scratch)
    describe.main()
    text = describe.CARD.read_text("utf-8")
    assert "SGD without momentum" in text
    changes = {"lr": 0.123, "momentum": 0.9, "schedule": "linear", "flip": True, "crop": 2}
    edit_params(scratch, {f"rows.baseline.{key}": new for key, new in changes.items()})
    edit_params(scratch, {"data.source": "cifar10"})
    describe.main()
    text = describe.CARD.read_text("utf-8")
    assert "SGD with momentum 0.9, learning rate 0.123 (linear schedule)" in text
    assert "Augmented: mirrored, shifted." in text
    edit_params(
        scratch,
        {
            "data.holdout": 0.2,
            "rows.baseline.warmup": 0.15,
            "rows.baseline.label_smoothing": 0.1,
            "rows.baseline.weight_decay": 0.0005,
            "rows.baseline.flip_at_test": True,
        },
    )
    describe.main()
    text = describe.CARD.read_text("utf-8")
    assert "schedule), warm-up 15% of the steps, " in text
    assert "cross-entropy, label smoothing 0.1, weight decay 0.0005, fp32." in text
    assert "a part of its training images for training" in text
    assert "Each image is scored together with its mirror image.\n\nThe 95%" in text
