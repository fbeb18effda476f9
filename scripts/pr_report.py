"""Report what a branch changes, as Markdown for a pull request.

The report lists changed params, metrics and pictures, tests which accuracies really
changed, and says whether the results match the branch's code. Everything it reads is in
git: it needs no data, models, cache or remote.
"""

import os
from pathlib import Path

from benchmark import params
from benchmark.reporting.comparison import Comparison, compare, warning
from benchmark.reporting.render import render
from benchmark.reporting.results import BASELINE, read
from benchmark.reporting.tables import question
from benchmark.running import cli
from benchmark.running.errors import UserError
from benchmark.running.repository import dvc, git
from benchmark.stats.planning import could_be_found, in_full
from benchmark.stats.verdicts import Verdict
from scripts import changes, verify

CODE = ("architectures", "benchmark", "notebook", "stages", "dvc.yaml", "requirements.lock")
PICTURES = "plots"
# The most pairs to list whose verdicts a new net changes.
MAX_MOVED = 5


def main(base: str) -> None:
    print(report(base), end="")


def report(base: str) -> str:
    """Compare the workspace with its last common commit with `base`. Raises UserError."""
    merge_base = git("merge-base", base, "HEAD").strip()
    faults, _ = verify.split_status(verify.dvc_status(verify.BENCHMARK))
    return render(
        Path(__file__).with_name("pr_report.md.jinja"),
        question=question(params.load(needs_device=False).data.classes),
        base=base,
        merge_base=merge_base,
        results=results(merge_base),
        stale=sorted({line.split(": ")[0] for line in faults}),
        stale_notebook=verify.stale_notebook(),
        what_to_do=verify.WHAT_TO_DO.capitalize(),
        diffs={
            command: dvc(command, "diff", "--md", merge_base)
            .replace(merge_base, merge_base[:7])
            .strip()
            for command, files in (("params", "*params.yaml"), ("metrics", "metrics"))
            if changed(merge_base, files)
        },
        code=changed(merge_base, *CODE),
        **pictures(merge_base),
    )


def results(merge_base: str) -> str:
    """Render accuracies, and which of them really changed."""
    compared = changes.changes(merge_base)
    margin = changes.margin()
    same = [c for c in compared if changes.verdict_without_test(c) == changes.SAME]
    if len(same) == len(compared):
        return (
            f"**No accuracy changes**: all {len(compared)} nets give the same predictions."
        )
    shown = changes.report(compared, margin).rstrip().splitlines()
    prefixes = tuple(f"| {change.name} |" for change in same)
    rest = f" The other {len(same)} give the same predictions." if same else ""
    table = "\n".join(line for line in shown if not line.startswith(prefixes)) + rest
    new = [change.name for change in compared if change.before is None]
    return "\n\n".join([table, *filter(None, map(new_row, new))])


def new_row(name: str) -> str:
    """Say whether a new row's net is better than the baseline, and than the best other net.

    The verdicts are those of the tables.
    """
    loaded = params.load(needs_device=False)
    if name not in loaded.rows:
        return ""
    family = params.row_of(loaded, name).family
    rows = [params.row_of(loaded, row) for row in loaded.rows]
    try:
        results = read([row for row in rows if row.family == family], changes.margin())
    except UserError as error:  # the results of another row are missing or outdated
        return f"**New: {name}**. There is no verdict, because of {error}."
    label = next(label for label, row in results.rows.items() if row.name == name)
    comparison = compare(results)
    return render(
        Path(__file__).with_name("new_row.md.jinja"),
        label=label,
        baseline=BASELINE,
        comparison=comparison,
        moved=moved_by(label, comparison),
        shown=MAX_MOVED,
        in_full=in_full,
        could_be_found=could_be_found,
        warning=warning(results),
    )


def moved_by(label: str, comparison: Comparison) -> list[tuple[Verdict, Verdict]]:
    """Return the verdicts on other nets without this net, and with it, if they differ.

    More comparisons make Holm's correction stricter, and more nets change the variances.
    """
    results = comparison.results
    kept = [name for name in results.names if name != label]
    without = compare(results.only(kept)).pairs if len(kept) > 1 else []
    pairs = [(pair, comparison.between(pair.first, pair.second)) for pair in without]
    return [(pair, now) for pair, now in pairs if now and now.word != pair.word]


def pictures(merge_base: str) -> dict[str, object]:
    """List the pictures that change; on GitHub, link them before and after."""
    names = [name for name in changed(merge_base, PICTURES) if name.endswith(".png")]
    repository = os.environ.get("GITHUB_REPOSITORY")
    if not repository:
        return {"pictures": names, "links": {}}
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    head = os.environ.get("HEAD_SHA") or git("rev-parse", "HEAD").strip()
    links = {
        name: [
            f"![{when}]({server}/{repository}/blob/{commit}/{name}?raw=true)"
            if git("ls-tree", "--name-only", commit, "--", name)
            else "–"
            for when, commit in (("before", merge_base), ("after", head))
        ]
        for name in names
    }
    return {"pictures": names, "links": links}


def changed(merge_base: str, *paths: str) -> list[str]:
    """List the files that differ from `merge_base`, including new ones."""
    listed = git("diff", "--name-only", "-z", merge_base, "--", *paths)
    untracked = git("ls-files", "-o", "-z", "--exclude-standard", "--", *paths)
    return sorted(filter(None, f"{listed}\0{untracked}".split("\0")))


if __name__ == "__main__":
    cli.run(main, cli.BASE)
