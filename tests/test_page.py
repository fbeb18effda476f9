"""The parts of the report that people play with, in a real browser, against Python."""

import dataclasses
import itertools
import json
import re
import shutil
from contextlib import chdir

import numpy as np
import pytest

from benchmark import params
from benchmark.reporting import page
from benchmark.reporting.comparison import compare
from benchmark.reporting.results import read_families
from benchmark.stats.planning import chance_to_differ, seeds_to_find
from benchmark.stats.verdicts import format_percent
from tests.conftest import ROOT
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
    with chdir(ROOT):
        return read_families(params.load())


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
        rows = opened.locator("#who-wins .ranking").nth(number).locator("li")
        comparison = compare(results)
        assert sorted(rows.locator("b").all_inner_texts()) == sorted(results.names)
        for row in rows.all():
            name = row.locator("b").inner_text()
            accuracy = row.locator(".accuracy").inner_text()
            assert accuracy == format_percent(results.metrics[name]["val_accuracy"])
            if name in comparison.vs_baseline:
                verdict = row.locator(".verdict").inner_text()
                assert verdict == str(comparison.vs_baseline[name])
    assert not opened.locator("#ranking-picture").is_visible()


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
    assert "There are no verdicts with fewer than 3." in status.inner_text()
    tab.keyboard.press("Space")
    assert status.inner_text() == "Choose at least one seed."
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    said = status.inner_text()
    assert re.match(
        r"With one training per net, \w+ leads by \d+\.\d points\. Nothing", said
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
    sizes = tab.evaluate(
        "[...document.querySelectorAll('#who-wins *')].filter(e => e.innerText)"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 11


@BROWSER
@pytest.mark.slow
def test_without_script_the_picture_stays(browser):
    tab = browser.new_context(java_script_enabled=False, offline=True).new_page()
    tab.goto(REPORT.as_uri())
    assert tab.locator("#ranking-picture img").is_visible()


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
    assert found["families"] == [] and not found["isComplete"]


@BROWSER
@pytest.mark.slow
def test_a_recipe_that_is_left_out_stays_in_the_picture(browser):
    """The other keeps its name, so that nobody takes one for the other."""
    one = results_of({"baseline": 1.2, "better": 1.7}, n_seeds=1)
    found = page.data([compare(one), compare(in_folds({"baseline": 1.2, "better": 1.7}))])
    text = REPORT.read_text("utf-8")
    before, rest = text.split('id="data">')
    after = rest.partition("</script>")[2]
    tab = browser.new_context(offline=True).new_page()
    tab.set_content(f'{before}id="data">{json.dumps(found)}</script>{after}')
    titles = tab.locator("#who-wins h3, #planner h3").all_inner_texts()
    assert titles == ["With the annealed recipe"] * 2
    assert tab.locator("#ranking-picture").is_visible()


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
    planner.get_by_role("combobox").first.select_option(label="baseline")
    assert status.inner_text() == "Choose two nets."
    points.fill("0.1")
    planner.get_by_role("combobox").first.select_option(label="first")
    assert "images are too few" in status.inner_text()
