"""The report, the model card, the costs: what is in them, and that they open offline."""

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import nn

from benchmark import params
from benchmark.reporting import report_charts, tables
from benchmark.reporting.costs import cost_of
from benchmark.reporting.results import decimal, read
from benchmark.running.errors import UserError
from benchmark.training import recipe
from stages import convolve, describe, report
from tests.conftest import ARCHITECTURES, FEW, ROOT, YAML_SAFE, edit_params, run
from tests.test_architectures import assemble
from tests.test_compare import results_of

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
LARGEST = 5 * 1024 * 1024
COMMITTED = ROOT / report.WITHOUT
PUBLISHED = {  # 896 + n·(9,216 + 64) + 65,568 + 66 and the like
    "baseline": (18_090, 3 * 16 * 9 * 32**2 + 16 * 8 * 9 * 16**2 + 512 * 32 + 64),
    "first": (1_574_402, 3072 * 512 + 1024),
}


class Page(HTMLParser):
    """Every attribute that names something, each picture's text, and the headings."""

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
        assert tag not in ("script", "iframe", "object"), tag


@pytest.mark.parametrize("name", PUBLISHED)
def test_costs_are_those_counted_by_hand(name):
    found = cost_of(recipe.find(name), 2, {})
    assert (found.parameters, found.multiply_adds) == PUBLISHED[name]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_costs_are_of_the_net_that_is_trained(name):
    loaded = params.load(ROOT / "params.yaml")
    found = cost_of(recipe.find(name), 2, recipe.settings_of(loaded, name))
    assert found.parameters == recipe.n_parameters(assemble(name).model)
    assert found.multiply_adds > 10_000


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
    # Image 9 is wrong in one of three only.
    results.predictions["alike"].loc[9, ["seed_0", "seed_1"]] = 1 - label[9]
    first, second = tables.hardest(results, most=9)
    assert (first.index, second.index) == (7, 5)
    assert first.right == [] and second.right == ["baseline"]
    assert second.wrong == {"baseline": 0, "better": 1, "alike": 1}
    right = int(label[5])
    assert second.said == {"baseline": right, "better": 1 - right, "alike": 1 - right}
    assert [image.index for image in tables.hardest(results, most=1)] == [7]


def test_where_seeds_say_so_half_and_half_no_class_is_favoured():
    results = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=2)
    label = results.predictions["baseline"]["label"]
    for each in results.predictions.values():
        each["seed_0"], each["seed_1"] = label, 1 - label
    assert set(label) == {0, 1} and tables.hardest(results, most=9) == []


def test_a_net_that_looks_at_its_numbers_can_be_counted():
    class Net(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.fc = nn.Linear(3072, n_classes)

        def forward(self, images):
            if images.mean() > 100:
                images = images / 255
            return self.fc(images.flatten(1))

    given = dataclasses.replace(recipe.find("baseline"), name="mine", net=Net)
    assert cost_of(given, 2, {}).multiply_adds == 2 * 3072


def test_the_confusion_is_that_of_the_predictions():
    results = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=2)
    table = tables.confusion(results, ["airplane", "bird"])
    right = table["actual"] == table["predicted"]
    for name in ("baseline", "better"):
        each = results.predictions[name]
        expected = (each["seed_0"] == each["label"]).mean()
        assert right[table["architecture"] == name].mean() == pytest.approx(expected)


def test_names_are_not_written_over_each_other():
    results = results_of(dict.fromkeys(("baseline", "b", "c", "d"), 1.2))
    places = report_charts.label_places(results, dict.fromkeys(results.names, 1000))
    heights = sorted(places.values())
    assert np.diff(heights).min() > 0
    apart = report_charts.label_places(
        results, {name: 10 ** (3 + i) for i, name in enumerate(results.names)}
    )
    above = {round(p - results.metrics[n]["val_accuracy"], 9) for n, p in apart.items()}
    assert len(above) == 1


@pytest.mark.slow
def test_the_committed_report_is_whole():
    text = COMMITTED.read_text("utf-8")
    page = Page(text)
    assert len(text) < LARGEST
    assert all(each.startswith(("data:", "#")) for each in page.addresses)
    assert {each[1:] for each in page.addresses if each.startswith("#")} <= set(page.ids)
    assert page.alternatives and all(len(a) > 30 for a in page.alternatives)
    assert "@import" not in text and "url(" not in text
    for name in ARCHITECTURES:
        assert f'<th scope="row">{name}</th>' in text
    lock = YAML_SAFE.load(ROOT / "dvc.lock")["stages"]
    assert all(out["md5"] in text for out in lock["download"]["outs"])
    assert not [each for each in page.alternatives if "validation image" in each]
    assert "The photographs are not in this file" in text


def in_words(text):
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def all_wrong_on_the_first_image(path):
    table = pd.read_csv(path, index_col="example")
    table.iloc[0, 1:] = 1 - table.iloc[0, 0]
    table.to_csv(path)


@pytest.mark.slow
def test_the_pictures_with_photographs_are_made_and_stay_out_of_git(scratch):
    for path in scratch.glob("results/*/predictions.csv"):
        all_wrong_on_the_first_image(path)
    for stage in ("convolve", "report"):
        run("python", "-m", f"stages.{stage}", "--photographs", cwd=scratch)
    text = (scratch / report.WITH).read_text("utf-8")
    alternatives = Page(text).alternatives
    photographs = [a for a in alternatives if re.match(r"validation image \d+, of", a)]
    assert 0 < len(photographs) <= report.MOST_IMAGES[report.WITH]
    assert photographs[0].startswith("validation image 0, of")
    assert "The benchmark's baseline, seed 0." in in_words(text)
    drawn, photographed = (
        scratch / folder / "layers.png" for folder in report.CONVOLUTION.values()
    )
    assert drawn.read_bytes() != photographed.read_bytes()
    run("git", "checkout", "-q", "results", cwd=scratch)
    assert run("git", "status", "--porcelain", cwd=scratch) == ""


@pytest.mark.slow
@pytest.mark.parametrize("stage", [convolve, report])
def test_photographs_of_other_data_are_refused(scratch, monkeypatch, stage):
    monkeypatch.chdir(scratch)
    path = Path("data/cifar2.pt")
    content = path.read_bytes()
    for other in (b"", content[:-1], content + b"0"):
        path.unlink()
        path.write_bytes(other)
        with pytest.raises(UserError, match=r"^data.cifar2\.pt: is not the data that"):
            stage.main(photographs=True)
    run("dvc", "checkout", "-q", "--force", "data/cifar2.pt", cwd=scratch)
    assert path.read_bytes() == content


@pytest.mark.slow
def test_with_one_seed_the_report_says_that_nothing_can_be_told(scratch, monkeypatch):
    for path in scratch.glob("results/*/predictions.csv"):
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    for path in scratch.glob("results/*/seeds.csv"):
        path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    monkeypatch.chdir(scratch)
    text = in_words(report.page(params.load(), report.WITHOUT))
    assert "One seed: no difference can be told from noise." in text
    assert "share a letter" not in text and "by more than noise" not in text
    assert "share a letter" in in_words(COMMITTED.read_text("utf-8"))


@pytest.mark.slow
def test_what_is_shown_is_escaped(scratch, monkeypatch):
    monkeypatch.chdir(scratch)
    environment = Path("results/baseline/environment.json")
    environment.write_text('{"processor": "<script>alert(1)</script>"}')
    text = report.page(params.load(), report.WITHOUT)
    assert "<script" not in text and "&lt;script&gt;" in text


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_offline_without_a_word(width, scheme):
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
        for summary in page.locator("summary").all():
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


@pytest.mark.slow
def test_the_model_card_says_what_the_metrics_say(small_run, monkeypatch):
    monkeypatch.chdir(small_run)
    text = describe.CARD.read_text("utf-8")
    assert "Drawn images, not photographs" in text
    results = read(FEW)
    first = results.seeds["baseline"]["val_accuracy"][0]
    assert f"| {decimal(first)} |" in text


def test_the_committed_model_card_is_of_the_committed_metrics():
    text = (ROOT / describe.CARD).read_text("utf-8")
    assert re.findall(r"(?m)^## (\w+)", text)[-4:] == [
        "Data", "Recipe", "Accuracy", "Limits"
    ]  # fmt: skip
    assert "CIFAR-10" in text and "95% interval" in text
    code = re.search(r"```python\n(.+?)```", text, flags=re.DOTALL)[1]
    compile(code, "the model card", "exec")
    metrics = json.loads((ROOT / "metrics/baseline.json").read_text())
    train, val = (decimal(metrics[f"{each}_accuracy"]) for each in ("train", "val"))
    assert f"| {train} | {val} |" in text


@pytest.mark.slow
def test_the_model_card_follows_the_recipe(scratch, monkeypatch):
    edit_params(scratch, {"architectures.baseline.lr": 0.123})
    monkeypatch.chdir(scratch)
    describe.main()
    assert "learning rate 0.123" in describe.CARD.read_text("utf-8")
