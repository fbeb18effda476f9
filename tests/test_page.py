"""The parts of the report that people play with, in a real browser, against Python."""

import dataclasses
import itertools
import json
import re
import shutil
from base64 import b64decode
from contextlib import chdir

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from architectures import baseline
from benchmark import params
from benchmark.reporting import example_net, page
from benchmark.reporting.comparison import compare
from benchmark.reporting.details import PairedCount, details_of, loss_curves, paired_count
from benchmark.reporting.page.net import net
from benchmark.reporting.page.net import pack as pack_tensor
from benchmark.reporting.results import read_families
from benchmark.stats.planning import chance_to_differ, seeds_to_find
from benchmark.stats.verdicts import format_percent
from stages import report
from tests.conftest import FEW, ROOT, SMALL_ROWS, edit_params, keep_rows
from tests.test_compare import in_folds, results_of, with_fewer_seeds

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
REPORT = ROOT / "plots/report.html"
BROWSER = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
# Compares in the page; returns what the test compares with Python.
JUDGE = """([family, parts]) => {
  const { nets, pairs } = judge(DATA.families[family], parts, DATA.margin);
  return {
    nets: nets.map((n) => [n.name, n.accuracy, n.low ?? null, n.high ?? null]),
    pairs: pairs.map((p) => [p.first, p.second, p.p, p.alpha, p.estimate.mean,
                             ...p.interval, p.word, formatVerdict(p, DATA.margin)]),
  };
}"""


@pytest.fixture(scope="module")
def families():
    """The committed results of all tables that have something to compare."""
    with chdir(ROOT):
        found = read_families(params.load())
    return [results for results in found if len(results.names) > 1]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def opened(browser):
    """The committed report, in a window of a phone."""
    said = []
    tab = browser.new_context(
        viewport={"width": 390, "height": 800}, offline=True
    ).new_page()
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(REPORT.as_uri())
    yield tab
    assert said == []


def part_of(results, parts):
    """The same results with some of the seeds, or of the folds."""
    predictions, seeds, metrics = {}, {}, {}
    for name, table in results.predictions.items():
        if results.n_folds:
            kept = table[table["fold"].isin(parts)]
            numbers = {fold: i for i, fold in enumerate(parts)}
            table = kept.assign(fold=kept["fold"].map(numbers)).reset_index(drop=True)
        drop = [c for c in table if c.startswith("seed_") and int(c[5:]) not in parts]
        predictions[name] = table.drop(columns=drop)
        seeds[name] = results.seeds[name][results.seeds[name]["seed"].isin(parts)]
        metrics[name] = dict(results.metrics[name])
        if results.n_folds:
            metrics[name]["n_folds"] = len(parts)
    made = dataclasses.replace(
        results, predictions=predictions, seeds=seeds, metrics=metrics
    )
    for name, correct in made.correct.items():
        metrics[name]["val_accuracy"] = float(correct.mean())
    return made


def subsets(n_parts):
    for size in range(1, n_parts + 1):
        yield from (list(parts) for parts in itertools.combinations(range(n_parts), size))


@BROWSER
@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_every_choice_of_seeds_or_folds_gives_pythons_numbers(opened, families, number):
    results = families[number]
    n_words = 0
    for parts in subsets(results.n_folds or results.n_seeds):
        found = opened.evaluate(JUDGE, [number, parts])
        expected = part_of(results, parts)
        accuracies = {name: accuracy for name, accuracy, *_ in found["nets"]}
        assert accuracies == pytest.approx(
            {n: m["val_accuracy"] for n, m in expected.metrics.items()}, abs=1e-9
        )
        if not expected.n_folds or len(parts) > 2:
            limits = {name: pair for name, _, *pair in found["nets"] if pair[0] is not None}
            assert limits.keys() == expected.intervals.keys()
            for name, interval in expected.intervals.items():
                assert limits[name] == pytest.approx(list(interval), abs=1e-6)
        comparison = compare(expected) if len(parts) > 2 else None
        assert len(found["pairs"]) == (len(comparison.pairs) if comparison else 0)
        for first, second, p, alpha, mean, low, high, word, text in found["pairs"]:
            verdict = comparison.between(first, second)
            assert [p, alpha, mean] == pytest.approx(
                [verdict.p, verdict.alpha, verdict.estimate.mean], abs=1e-6
            )
            assert [low, high] == pytest.approx(list(verdict.interval), abs=1e-6)
            assert (word, text) == (verdict.word, str(verdict))
            n_words += 1
    assert n_words > 500


@BROWSER
@pytest.mark.slow
def test_students_t_is_scipys(opened):
    from scipy.special import stdtr, stdtrit

    for df in (1, 1.7, 4, 8, 60, 1e4, 1e6, 1e9, np.inf):
        given = "Infinity" if np.isinf(df) else df
        for p in (0.51, 0.9, 0.975, 0.9995, 1 - 1e-6):
            quantile = opened.evaluate(f"tQuantile({p}, {given})")
            assert quantile == pytest.approx(stdtrit(df, p), rel=1e-7)
            tail = opened.evaluate(f"tCdf({-quantile}, {given})")
            assert tail == pytest.approx(stdtr(df, -quantile), rel=1e-7)


@BROWSER
@pytest.mark.slow
def test_the_ranking_says_what_the_table_says(opened, families):
    for number, results in enumerate(families):
        rows = opened.locator(".who-wins .ranking").nth(number).locator("li")
        comparison = compare(results)
        assert sorted(rows.locator("b").all_inner_texts()) == sorted(results.names)
        for row in rows.all():
            name = row.locator("b").inner_text()
            accuracy = row.locator(".accuracy").inner_text()
            assert accuracy == format_percent(results.metrics[name]["val_accuracy"])
            if name in comparison.vs_baseline:
                verdict = row.locator(".verdict").inner_text()
                assert verdict == str(comparison.vs_baseline[name])


@BROWSER
@pytest.mark.slow
def test_it_works_by_keyboard(browser):
    tab = browser.new_context(offline=True).new_page()
    tab.goto(REPORT.as_uri())
    status = tab.get_by_role("status").first
    assert status.inner_text().startswith("With 5 seeds, ")
    tab.get_by_role("checkbox").first.focus()
    for left in (4, 3, 2, 1):
        tab.keyboard.press("Space")
        tab.keyboard.press("Tab")
        expected = f"With {left} seeds, " if left > 1 else "With one seed, "
        assert status.inner_text().startswith(expected)
    assert "There are no verdicts with fewer than 3 seeds." in status.inner_text()
    tab.keyboard.press("Space")
    assert status.inner_text() == "Choose at least one seed."
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    said = status.inner_text()
    assert re.match(
        r"With one training run per net, \w+ leads by \d+\.\d points\. You cannot", said
    )
    assert "verdict" not in tab.locator(".ranking").first.inner_text()


@BROWSER
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_too_small_or_too_wide(browser, scheme):
    context = browser.new_context(
        viewport={"width": 390, "height": 800}, color_scheme=scheme, offline=True
    )
    tab = context.new_page()
    tab.goto(REPORT.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for button in tab.locator(".explorer th[scope=row] button").all():
        button.click()
    for summary in tab.locator("summary:visible").all():
        summary.click()
    small = tab.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => e.offsetParent && "
        "e.innerText && parseFloat(getComputedStyle(e).fontSize) < 11)"
        ".map(e => e.outerHTML.slice(0, 99))"
    )
    assert small == []
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@BROWSER
@pytest.mark.slow
def test_without_script_the_page_still_has_ranking_tables_and_details(browser, families):
    tab = browser.new_context(java_script_enabled=False, offline=True).new_page()
    tab.goto(REPORT.as_uri())
    with_script = browser.new_context(offline=True).new_page()
    with_script.goto(REPORT.as_uri())
    for number, results in enumerate(families):
        plain, played = (
            each.locator(".who-wins .ranking").nth(number) for each in (tab, with_script)
        )
        assert (
            plain.locator("li").all_inner_texts() == played.locator("li").all_inner_texts()
        )
        assert plain.locator(".run").count() == sum(map(len, results.seeds.values()))
        dots = [
            [box.bounding_box()["x"] for box in each.locator(".dot").all()]
            for each in (plain, played)
        ]
        assert dots[0] == pytest.approx(dots[1], abs=0.5)
    more = tab.locator(".explorer summary").first
    idea = tab.locator(".explorer .parts").first
    assert not idea.is_visible()
    more.click()
    assert "Many residual blocks" in idea.inner_text()
    assert "This part needs JavaScript." in tab.locator("#net").inner_text()


def test_the_data_are_the_predictions():
    made = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=3)
    [family] = page.data([compare(made)])["families"]
    assert (family["folds"], family["parts"], family["sizes"]) == (False, 3, [2000] * 3)
    [net] = [n for n in family["nets"] if n["name"] == "better"]
    assert net["correct"] == page.pack(made.correct["better"])
    folds = in_folds({"baseline": 1.2, "better": 1.7})
    [family] = page.data([compare(folds)])["families"]
    assert family["folds"] and family["parts"] == 6 and sum(family["sizes"]) == 2000
    assert json.dumps(family)


@pytest.mark.parametrize(
    ("names", "n_seeds", "fewer"), [("ab", 1, 1), ("a", 3, 3), ("ab", 5, 3)]
)
def test_what_cannot_be_chosen_for_all_nets_alike_is_left_out(names, n_seeds, fewer):
    """One seed, one net, and nets with different numbers of seeds."""
    made = results_of(dict.fromkeys(names, 1.2), n_seeds)
    made = with_fewer_seeds(made, names[-1], fewer)
    found = page.data([compare(made)])
    assert found["families"] == []


def test_the_only_net_of_a_table_is_named():
    text = REPORT.read_text("utf-8")
    assert "With the annealed recipe, each was trained 6 times and tested each time" in text
    assert "With the modern recipe, modern was trained 6 times and tested on 2,000" in text


@BROWSER
@pytest.mark.slow
def test_a_recipe_that_is_left_out_keeps_its_static_ranking(browser):
    """The other keeps its name, so that nobody takes one for the other."""
    one = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=1)
    found = page.data([compare(one), compare(in_folds({"baseline": 1.2, "better": 1.7}))])
    text = REPORT.read_text("utf-8")
    before, rest = text.split('id="data">')
    after = rest.partition("</script>")[2]
    tab = browser.new_context(offline=True).new_page()
    tab.set_content(f'{before}id="data">{json.dumps(found)}</script>{after}')
    titles = tab.locator("#planner h3").all_inner_texts()
    assert titles == ["With the annealed recipe"]
    chapter, annealed, ladder = tab.locator(".who-wins").all()
    assert chapter.locator("input").count() == 0 and annealed.locator("input").count() == 6
    assert ladder.locator("input").count() == 0
    assert chapter.locator("li").count() == 11 and ladder.locator("li").count() == 10


@BROWSER
@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_the_planner_has_pythons_numbers(opened, families, number):
    comparison = compare(families[number])
    for i in range(0, len(comparison.pairs), 9):
        pair = comparison.pairs[i]
        for difference, n_images, n_tests in (
            (0.01, 2000, 10), (0.005, 12_000, 1), (0.03, 500, 45), (0.02, 100_000, 3)
        ):  # fmt: skip
            share = pair.estimate.variance.n_images / n_images
            variance = dataclasses.replace(
                pair.estimate.variance,
                images=pair.estimate.variance.images * share,
                least=tuple(part * share for part in pair.estimate.variance.least),
                n_images=n_images,
            )
            alpha = 0.05 / n_tests
            found = opened.evaluate(
                """([family, one, other, difference, images, alpha]) => {
                  const all = DATA.families[family];
                  const parts = Array.from({ length: all.parts }, (_, i) => i);
                  const pair = judge(all, parts, DATA.margin).pairs.find((p) =>
                    [p.first, p.second].sort().join() === [one, other].sort().join());
                  const v = withImages(pair.estimate.variance, images);
                  return [seedsToFind(difference, v, alpha), ...[6, 12, 48].map((n) =>
                    chanceToDiffer(difference, withSeeds(v, n), alpha))];
                }""",
                [number, pair.first, pair.second, difference, n_images, alpha],
            )
            assert found[0] == seeds_to_find(difference, variance, alpha)
            chances = [
                chance_to_differ(difference, variance.with_seeds(n, n), alpha)
                for n in (6, 12, 48)
            ]
            assert found[1:] == pytest.approx(chances, abs=1e-6)
            assert chances == sorted(chances)


@BROWSER
@pytest.mark.slow
def test_played_experiments_have_the_chances_of_the_bars(opened):
    """One played experiment, 6,000 times, for a few and for many degrees of freedom."""
    for n_seeds in (2, 3, 50):
        chance, share = opened.evaluate(
            """(nSeeds) => {
              const v = { images: 0, seeds: [1e-4, 1e-9], least: [0, 0],
                          nSeeds: [nSeeds, nSeeds], nImages: 2000, nFolds: 0 };
              let hits = 0;
              for (let i = 0; i < 6000; i++) hits += playOnce(0.03, v, 0.05);
              return [chanceToDiffer(0.03, v, 0.05), hits / 6000];
            }""",
            n_seeds,
        )
        assert share == pytest.approx(chance, abs=0.03)
        assert 0 < chance < 1


@BROWSER
@pytest.mark.slow
def test_the_planner_takes_only_sensible_numbers(browser):
    tab = browser.new_context(offline=True).new_page()
    tab.goto(REPORT.as_uri())
    planner = tab.locator("#planner")
    status, bars = planner.get_by_role("status").first, planner.locator(".chances").first
    assert re.match(
        r"(Each net needs [\d,]+ seeds|No number of seeds) ", status.inner_text()
    )
    assert bars.locator("li").count() == 5
    points, images, comparisons = (
        planner.get_by_role("spinbutton").nth(i) for i in range(3)
    )
    points.fill("9")
    few = int(re.search(r"needs (\d+)", status.inner_text())[1])
    comparisons.fill("1000")
    many = int(re.search(r"needs (\d+)", status.inner_text())[1])
    assert few < many
    for field, nonsense in (
        (points, "-1"),
        (points, ""),
        (images, "2"),
        (comparisons, "0.5"),
    ):
        before = field.input_value()
        field.fill(nonsense)
        assert status.inner_text().startswith("Choose 0.1 to 50 points")
        assert bars.locator("li").count() == 0
        field.fill(before)
    play = planner.get_by_role("button", name="Play 20 experiments").first
    planner.get_by_label("per net").first.select_option("50 seeds")
    play.focus()
    tab.keyboard.press("Enter")
    played = planner.get_by_role("status").nth(1)
    hits, misses = map(
        int, re.search(r"(\d+) of 20 .+ (\d+) missed", played.inner_text()).groups()
    )
    marks = planner.locator(".marks").first.inner_text()
    assert (hits, misses) == (marks.count("●"), marks.count("○")) and hits + misses == 20
    planner.get_by_role("combobox").first.select_option(label="baseline")
    assert status.inner_text() == "Choose two nets."
    assert played.inner_text() == ""
    play.click()
    assert played.inner_text() == ""
    points.fill("0.1")
    planner.get_by_role("combobox").first.select_option(label="first")
    assert "images are too few" in status.inner_text()


AT_ONCE = """(number) => {
  const { nets } = DATA.families[number];
  return nets.flatMap((one) => nets.map((other) => {
    const { onlyOne, onlyOther, answers } = pairedCount(one, other);
    return [one.name, other.name, onlyOne, onlyOther, answers];
  }));
}"""


@pytest.fixture
def tab(browser):
    """The committed report in a window of its own, which must not complain."""
    said = []
    page = browser.new_context(offline=True).new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(REPORT.as_uri())
    yield page
    page.context.close()
    assert said == []


def names_in(explorer):
    return [each.get_attribute("data-net") for each in explorer.locator("tbody").all()
            if each.is_visible() and each.get_attribute("data-net")]  # fmt: skip


@BROWSER
@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_the_paired_counts_are_pythons(opened, families, number):
    results = families[number]
    for first, second, *found in opened.evaluate(AT_ONCE, number):
        one, other = results.predictions[first], results.predictions[second]
        expected = paired_count(one, other)
        assert found == list(dataclasses.astuple(expected))
        accuracy = [results.metrics[name]["val_accuracy"] for name in (first, second)]
        difference = (expected.only_first - expected.only_second) / expected.answers
        assert difference == pytest.approx(accuracy[0] - accuracy[1], abs=2e-6)


@BROWSER
@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_the_table_of_nets_sorts_and_keeps_the_focus(tab, families, number):
    results = families[number]
    explorer = tab.locator(".explorer").nth(number)
    assert names_in(explorer) == results.by_accuracy
    for header, key in (
        ("net", str),
        ("training", lambda name: -results.metrics[name]["train_accuracy"]),
        ("test", lambda name: -results.metrics[name]["val_accuracy"]),
    ):
        button = explorer.locator("thead button", has_text=re.compile(f"^{header}$"))
        button.focus()
        tab.keyboard.press("Enter")
        keys = list(map(key, names_in(explorer)))
        assert keys == sorted(keys)
        assert button.evaluate("each => each === document.activeElement")
        tab.keyboard.press("Enter")
        assert list(map(key, names_in(explorer))) == keys[::-1]
        assert explorer.locator("th[aria-sort]").count() == 1


@BROWSER
@pytest.mark.slow
def test_the_filter_shows_the_nets_that_could_be_the_same(tab, families):
    for results in families:
        explorer = tab.locator(f".explorer[data-family={results.title}]")
        comparison, n_nets = compare(results), 10 if results.title == "ladder" else 11
        for name in results.names:
            explorer.get_by_label("only nets tied with").select_option(name)
            expected = {name, *comparison.tied_with(name)}
            assert set(names_in(explorer)) == expected
            status = explorer.get_by_role("status").inner_text()
            assert status.startswith(f"{len(expected)} of {n_nets} nets: {name}, ")
        explorer.get_by_label("only nets tied with").select_option("")
        assert names_in(explorer) == results.by_accuracy


@BROWSER
@pytest.mark.slow
def test_what_is_chosen_can_be_linked(tab, families):
    explorer = tab.locator(".explorer").nth(1)
    explorer.get_by_role("button", name="depth", exact=True).click()
    explorer.get_by_label("compare each opened net with").select_option("res")
    explorer.get_by_label("only nets tied with").select_option("res")
    explorer.get_by_role("button", name="parameters").click()
    address = tab.url
    assert address.endswith(
        "#annealed.open=depth&annealed.with=res&annealed.tied=res&annealed.sort=-parameters"
    )
    tab.get_by_role("link", name="Pairs").click()
    explorer.get_by_role("button", name="parameters").click()
    explorer.get_by_role("button", name="parameters").click()
    assert tab.url == address  # a link to a section does not lose what is chosen
    count = explorer.locator("[data-net=depth] .count").inner_text()
    expected = paired_count(*(families[1].predictions[name] for name in ("depth", "res")))
    assert f"depth is right and res wrong in {expected.only_first:,}" in count
    order = names_in(explorer)
    tab.goto("about:blank")
    tab.goto(address)
    explorer = tab.locator(".explorer").nth(1)
    assert names_in(explorer) == order and "depth" in order and "first" not in order
    assert explorer.locator("[data-net=depth] .count").inner_text() == count
    depth = explorer.get_by_role("button", name="depth", exact=True)
    assert depth.get_attribute("aria-expanded") == "true"
    assert tab.url == address
    tab.goto(f"{REPORT.as_uri()}#annealed.sort=nonsense&annealed.open=none&x=%")
    assert names_in(tab.locator(".explorer").nth(1)) == families[1].by_accuracy


@BROWSER
@pytest.mark.slow
def test_everything_is_printed(tab):
    explorer = tab.locator(".explorer").nth(1)
    explorer.get_by_label("only nets tied with").select_option("res")
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(names_in(explorer)) == 11
    assert all(each.is_visible() for each in explorer.locator(".parts").all())
    assert tab.locator("details:not([open])").count() == 0
    assert tab.url == f"{REPORT.as_uri()}#annealed.tied=res"
    assert not tab.locator("nav").is_visible()
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert len(names_in(explorer)) < 11
    assert not explorer.locator(".parts").first.is_visible()


def test_details_of_a_net_are_those_of_its_predictions():
    made = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=3)
    label = made.predictions["baseline"]["label"]
    for name, table in made.predictions.items():
        table[["seed_0", "seed_1", "seed_2"]] = np.stack([label] * 3, axis=1)
        if name == "better":
            table.loc[4, ["seed_0", "seed_1"]] = 1 - label[4]  # most seeds
            table.loc[9, "seed_0"] = 1 - label[9]  # a minority
    made = dataclasses.replace(made)
    found = details_of("better", made, n_classes=2)
    assert found.only_wrong == [int(made.predictions["better"]["example"][4])]
    assert found.count == PairedCount(0, 3, 6000)
    assert found.shares.sum(axis=1) == pytest.approx([1, 1])
    n_wrong = ((1 - found.shares.diagonal()) * 3 * label.value_counts().sort_index()).sum()
    assert n_wrong == pytest.approx(3)
    assert details_of("baseline", made, n_classes=2).count is None


def test_a_net_that_misses_folds_is_compared_on_its_own_images():
    made = in_folds({"baseline": 1.2, "better": 1.7})
    table = made.predictions["better"]
    made.predictions["better"] = table[table["fold"] < 3].drop(
        columns=["seed_3", "seed_4", "seed_5"]
    )
    found = details_of("better", made, n_classes=2)
    assert found.count.answers == (table["fold"] < 3).sum()
    wrong = set(found.only_wrong)
    assert wrong and wrong <= set(made.predictions["better"]["example"])


def test_loss_curves_share_a_scale():
    made = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=2)
    for name, curve in made.curves.items():
        curve["loss"] = np.geomspace(0.7, 0.01 if name == "better" else 0.1, len(curve))
    curves = [loss_curves(name, made) for name in made.names]
    every = pd.concat(made.curves.values())["loss"]
    for name, found in zip(made.names, curves, strict=True):
        assert len(found.lines) == made.curves[name]["seed"].nunique()
        assert (found.lowest, found.highest) == (every.min(), every.max())
        points = np.array(
            [point.split(",") for point in " ".join(found.lines).split()], float
        )
        assert points.min() >= 0 and (points <= [300, 90]).all()
    flat = {name: curve.assign(loss=0.5) for name, curve in made.curves.items()}
    assert loss_curves("better", dataclasses.replace(made, curves=flat)) is None


# A net in the page --------------------------------------------------------------------

SCORES = """(images) => {
  const layers = layersOf(DATA.net);
  const ready = images.map((pixels) => normalize(bytesOf(pixels), DATA.net));
  return ready.map((image) => forward(layers, image).scores);
}"""


@pytest.fixture(scope="module")
def shown():
    """The net of the committed report, rebuilt from the page's own weights."""
    text = REPORT.read_text("utf-8").split('id="data">')[1].partition("</script>")[0]
    given = json.loads(text)["net"]

    def numbers(packed):
        return torch.from_numpy(np.frombuffer(b64decode(packed), "<f4").copy())

    weights = {}
    for name, layer in given["layers"].items():
        weights[f"{name}.weight"] = numbers(layer["weight"]).reshape(layer["shape"])
        weights[f"{name}.bias"] = numbers(layer["bias"])
    model = baseline.Net(n_classes=2)
    model.load_state_dict(weights)
    images, labels = example_net.generate_images(20, seed=7)
    return example_net.Example(
        "generated", model.eval(), images, labels, ("airplane", "bird"),
        given["mean"], given["std"],
    )  # fmt: skip


@BROWSER
@pytest.mark.slow
def test_the_net_in_the_page_is_torchs(opened, shown):
    images = torch.cat([shown.images, torch.zeros_like(shown.images[:1])])
    found = opened.evaluate(SCORES, [pack_tensor(image) for image in images])
    with torch.no_grad():
        expected = shown.model(shown.normalized(images))
    assert np.array(found) == pytest.approx(expected.numpy(), abs=1e-4)
    right = expected[:20].argmax(1) == shown.labels
    assert right.float().mean() > 0.6  # it has learned something


@BROWSER
@pytest.mark.slow
def test_images_files_and_drawings_are_classified(tab, tmp_path):
    part = tab.locator("#net")
    status = part.get_by_role("status")
    assert re.match(r"Image 1, airplane: the net says \w+\.", status.inner_text())
    part.get_by_role("button", name="Image 2, bird").click()
    assert status.inner_text().startswith("Image 2, bird: the net says ")
    scores = part.locator(".scores").inner_text()
    photo = tmp_path / "photo.png"
    Image.new("RGB", (90, 60), (140, 185, 230)).save(photo)
    part.locator("input[type=file]").set_input_files(photo)
    expect_text(status, "photo.png: the net says ")
    sky = part.locator(".scores").inner_text()
    assert sky != scores
    part.get_by_role("button", name="Clear").click()
    assert status.inner_text().startswith("An empty sky: the net says ")
    assert part.locator(".scores").inner_text() == sky
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:40])
    part.locator("input[type=file]").set_input_files(broken)
    expect_text(status, "broken.png is not an image that this browser can open; ")
    drawing = part.locator("#drawing")
    drawing.focus()
    for key in ("ArrowLeft", "ArrowUp", "Space", "ArrowRight", "Space"):
        tab.keyboard.press(key)
    assert status.inner_text().startswith("Your drawing: the net says ")
    by_keys = part.locator(".scores").inner_text()
    assert by_keys != sky
    box = drawing.bounding_box()
    tab.mouse.move(box["x"] + 20, box["y"] + 20)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 200, box["y"] + 120, steps=9)
    tab.mouse.up()
    assert part.locator(".scores").inner_text() != by_keys


def expect_text(status, start):
    from playwright.sync_api import expect

    expect(status).to_have_text(re.compile(f"^{re.escape(start)}"))


@BROWSER
@pytest.mark.slow
def test_one_number_of_a_convolution_is_explained(tab, shown):
    with torch.no_grad():
        maps = shown.model.conv1(shown.normalized(first_image(tab)[None]))[0]
    part = tab.locator("#net")
    for map_, row, column in ((0, 0, 0), (5, 31, 7), (15, 16, 31)):
        for label, value in (("map", map_), ("row", row), ("column", column)):
            part.get_by_label(label, exact=True).fill(str(value))
        said = part.get_by_text("(bias) =").inner_text()
        assert said.startswith(f"Map {map_}, row {row}, column {column}: ")
        number = float(said.rpartition("= ")[2].rstrip(".").replace("−", "-"))
        assert number == pytest.approx(maps[map_, row, column].item(), abs=0.0051)
        parts = (
            said.partition(": ")[2].partition(" (bias)")[0].replace("−", "-").split(" + ")
        )
        assert sum(map(float, parts)) == pytest.approx(number, abs=0.03)
    part.get_by_label("map", exact=True).fill("99")
    assert part.get_by_text("(bias) =").inner_text() == said
    box = part.locator("#conv1").bounding_box()
    tab.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"])
    assert part.get_by_label("map", exact=True).input_value() == "5"
    assert part.get_by_text("(bias) =").inner_text().startswith("Map 5, row ")


def first_image(tab):
    pixels = tab.evaluate("DATA.net.images[0].pixels")
    return torch.from_numpy(np.frombuffer(b64decode(pixels), "u1").copy()).reshape(
        3, 32, 32
    )


@BROWSER
@pytest.mark.slow
def test_a_net_that_the_page_cannot_compute_is_not_shown(browser):
    before, rest = REPORT.read_text("utf-8").split('id="data">')
    text, _, after = rest.partition("</script>")
    found = json.loads(text)
    found["net"]["images"][1]["scores"][0] += 0.01
    tab = browser.new_context(offline=True).new_page()
    tab.set_content(f'{before}id="data">{json.dumps(found)}</script>{after}')
    assert (
        "architectures/baseline.py is a different net" in tab.locator("#net").inner_text()
    )
    assert tab.locator("#net canvas").count() == 0


def test_a_baseline_with_other_layers_is_left_out(shown):
    other = dataclasses.replace(shown, model=torch.nn.Linear(3072, 2))
    assert net(other, range(4)) is None
    found = net(shown, [3, 1])
    assert [image["label"] for image in found["images"]] == [1, 1]
    assert found["images"][0]["pixels"] == pack_tensor(shown.images[3])


@BROWSER
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(browser, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    tab = context.new_page()
    tab.goto(f"{REPORT.as_uri()}#annealed.open=res,baseline&chapter.tied=res")
    for summary in tab.locator("summary:visible").all():
        summary.click()
    violations = Axe().run(tab).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []


# Other tables than the committed ones --------------------------------------------------


def cut_folds(folder, row, n):
    """Remove all seeds of the row but the first n: it then covers n folds."""
    path = folder / f"results/{row}/predictions.csv"
    table = pd.read_csv(path)
    kept = table[table["fold"] < n] if "fold" in table else table
    late = [c for c in table.filter(like="seed_") if int(c.removeprefix("seed_")) >= n]
    kept.drop(columns=late).to_csv(path, index=False)
    seeds = folder / f"results/{row}/seeds.csv"
    seeds.write_text("".join(seeds.read_text().splitlines(keepends=True)[: n + 1]))


def only_baseline(folder):
    keep_rows(folder / "params.yaml", "rows", ["baseline"])


def one_seed(folder):
    for row in FEW:
        cut_folds(folder, row, 1)


def no_baseline_in_folds(folder):
    keep_rows(folder / "params.yaml", "rows", [n for n in SMALL_ROWS if n != BASE_IN_FOLDS])


def odd_recipe(folder):
    path = folder / "params.yaml"
    text = path.read_text("utf-8")
    odd = "'a\"b.c&d=e </script>'"
    text = re.sub(r"^annealed:", f"{odd}:", text, flags=re.MULTILINE)
    path.write_text(re.sub(r"recipe: annealed", f"recipe: {odd}", text), "utf-8")


def two_splits_of_a_recipe(folder):
    entry = {"net": "baseline", "recipe": "annealed", "sized_by": "data.classes"}
    edit_params(folder, {"rows.official_annealed": entry | {"split": "official"}})
    copy_results(folder, "baseline", "official_annealed")


def copy_results(folder, row, new):
    shutil.copytree(folder / "results" / row, folder / "results" / new)
    shutil.copy(folder / f"metrics/{row}.json", folder / f"metrics/{new}.json")


def a_table_of_its_own(folder):
    entry = {"net": "baseline", "recipe": "annealed", "sized_by": "data.classes"}
    for name in ("flat", "steep"):
        edit_params(folder, {f"rows.{name}_hill": entry | {"table": "hill"}})
        copy_results(folder, "baseline_annealed", f"{name}_hill")


BASE_IN_FOLDS = "baseline_annealed"
TABLES = {
    "as it is": lambda folder: None,
    "one net": only_baseline,
    "one seed": one_seed,
    "no baseline": no_baseline_in_folds,
    "baseline misses a fold": lambda folder: cut_folds(folder, BASE_IN_FOLDS, 3),
    "a net misses a fold": lambda folder: cut_folds(folder, "depth_annealed", 3),
    "an odd recipe": odd_recipe,
    "two splits": two_splits_of_a_recipe,
    "a table of its own": a_table_of_its_own,
}


@BROWSER
@pytest.mark.slow
@pytest.mark.parametrize("change", TABLES.values(), ids=TABLES)
def test_every_table_gives_a_page_that_works(scratch, browser, monkeypatch, change):
    change(scratch)
    monkeypatch.chdir(scratch)
    page_file = scratch / "page.html"
    page_file.write_text(report.render_report(params.load(), report.COMMITTED), "utf-8")
    said = []
    tab = browser.new_context(offline=True).new_page()
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(page_file.as_uri())
    families = read_families(params.load())
    for number, results in enumerate(families):
        explorer = tab.locator(".explorer").nth(number)
        assert set(names_in(explorer)) == set(results.names)
        name = explorer.get_by_role("button", name=results.names[0], exact=True)
        explorer.get_by_role("button", name="parameters").click()
        name.click()
    # A single net beside other tables is not ranked.
    ranked = [len(results.names) for results in families if len(results.names) > 1]
    shown = [each.locator("li").count() for each in tab.locator(".who-wins").all()]
    assert shown == (ranked or [1])
    order = [names_in(each) for each in tab.locator(".explorer").all()]
    tab.reload()
    assert [names_in(each) for each in tab.locator(".explorer").all()] == order
    opened = tab.locator(".explorer details[open]").count()
    assert opened == len(families)
    assert tab.locator("#net canvas").count() > 0
    assert said == []
