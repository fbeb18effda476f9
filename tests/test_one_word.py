"""Each pair of nets has one verdict: no two pages of this repository differ."""

import re
from collections import defaultdict

import pytest

from benchmark.stats.verdicts import WORDS
from scripts import pr_report
from tests.conftest import ROOT, commit, run
from tests.test_verdicts import turned

OPPOSITE = {"better": "worse", "worse": "better"}
WORD = "|".join(WORDS)


def markdown_tables(text):
    """Return each table of a page: its heading, its columns, and its rows."""
    heading, tables, rows = "", [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            heading = line.strip("# ")
        if line.startswith("|"):
            cells = [c.strip() for c in line.replace("\\|", "¦").strip("|").split("|")]
            rows.append(cells)
        elif rows:
            tables.append((heading, rows[0], rows[2:]))
            rows = []
    return tables


def of_results(text):
    """Yield table, net, other net and verdict from the tables in results.md and README."""
    for heading, columns, rows in markdown_tables(text):
        for i, column in enumerate(columns):
            if column != "compared with baseline":
                continue
            several = ": " in columns[i - 1]  # both recipes are in one table
            table = columns[i - 1].partition(": ")[0] if several else heading.lower()
            yield from ((table, row[0], "baseline", row[i]) for row in rows)


def of_pairs(text):
    for heading, columns, rows in markdown_tables(text):
        if columns[1] == "compared with":
            yield from ((heading.lower(), row[0], row[1], row[2]) for row in rows)


# In the report: the ranking, the table of nets, the table of pairs, and the list of pairs.
IN_REPORT = (
    r'<li class="net[^"]*"><b>(?P<one>\w+)</b>.*?class="verdict">(?P<verdict>.*?)</span>',
    # The fourth cell of a net's row.
    r'<tbody data-net="(?P<one>\w+)"(?:.*?data-value=){4}.*?>(?P<verdict>.*?)</td>',
    r'title="(?P<one>\w+), compared with (?P<other>\w+): (?P<verdict>.+?)"',
    r"<li>(?P<one>\w+) compared with (?P<other>\w+): (?P<verdict>.+?)</li>",
)


def of_report(text):
    parts = re.split(r"<h3>(?:With|In) the (\w+)(?:&#39;s)? (?:recipe|table)</h3>", text)
    for table, part in zip(parts[1::2], parts[2::2], strict=True):
        for pattern in IN_REPORT:
            for found in re.finditer(pattern, part, re.DOTALL):
                each = {"other": "baseline", **found.groupdict()}
                yield table, each["one"], each["other"], each["verdict"]


def judged(verdict):
    """Split a verdict into its word and its interval."""
    found = re.match(rf"({WORD})(?: by [\d.]+ points)? \((.+?)\)", verdict)
    return found.groups() if found else None


def collect(pages):
    """Return all verdicts on each pair of nets, seen from the net that comes first."""
    found = defaultdict(set)
    for page in pages:
        for table, one, other, verdict in page:
            if not (said := judged(verdict)):
                continue
            word, interval = said
            low, high = interval.split(" to ")
            if one > other:
                one, other, word = other, one, OPPOSITE.get(word, word)
                if word not in OPPOSITE:  # differences are shown as positive numbers
                    low, high = (turned(limit) for limit in (high, low))
            found[table, one, other].add((word, low, high))
    return found


PAGES = {
    "README.md": of_results,
    "plots/results.md": of_results,
    "plots/pairs.md": of_pairs,
    "plots/report.html": of_report,
}


def committed():
    return {page: list(f((ROOT / page).read_text("utf-8"))) for page, f in PAGES.items()}


def test_every_page_has_verdicts():
    n_rows = {page: len(found) for page, found in committed().items()}
    assert n_rows == {
        "README.md": 22, "plots/results.md": 32, "plots/pairs.md": 155,
        # The table of nets also has modern, which is compared with none.
        "plots/report.html": 32 + 33 + 310 + 155,
    }  # fmt: skip


def test_no_two_pages_differ():
    found = collect(committed().values())
    assert len(found) == 155
    assert {pair: said for pair, said in found.items() if len(said) > 1} == {}


def test_a_difference_would_be_noticed():
    pages = committed()
    first = pages["plots/pairs.md"][0]
    pages["another"] = [(*first[:3], "the same (−0.1 to 0.1)")]
    assert [pair for pair, said in collect(pages.values()).items() if len(said) > 1]


@pytest.mark.slow
def test_a_pull_request_says_the_same_as_the_tables(small_run, monkeypatch):
    """Of a branch that adds a net, its report and its tables."""
    run("git", "rm", "-q", "-r", "results/width_annealed", "metrics/width_annealed.json",
        cwd=small_run)  # fmt: skip
    commit(small_run, "before")
    run("git", "checkout", "-q", "HEAD~1", "--", "results", "metrics", cwd=small_run)
    commit(small_run, "with another net")
    monkeypatch.chdir(small_run)
    text = pr_report.report("HEAD~1")
    assert "**New: width** (annealed recipe): " in text
    said = re.findall(r"- Compared with (\w+)(.*?): \*\*(.+?)\*\*\.", text)
    assert "baseline" in [net for net, *_ in said]
    pairs = collect([of_pairs((small_run / "plots/pairs.md").read_text("utf-8"))])
    for other, _, verdict in said:
        [again] = collect([[("annealed", "width", other, verdict)]]).items()
        assert again[1] == pairs[again[0]]
    best = max(said, key=lambda each: "best other net" in each[1])
    assert "best other net" in best[1]


def test_the_readmes_prose_has_the_intervals_of_its_table():
    text = (ROOT / "README.md").read_text("utf-8")
    prose, rest = text.split("## Results")
    said = re.findall(r"\([\d.−]+ to [\d.−]+\)", prose)
    assert said and all(interval in rest.split("<!-- end")[0] for interval in said)
