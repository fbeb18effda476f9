"""What a branch changes, as Markdown for a pull request.

Params, metrics, which of it is more than noise, pictures, and whether the results are
those of the branch's code. All of it is in git: no data, models, cache or remote.
"""

import os
import sys
from pathlib import Path

from benchmark.reporting.render import render
from benchmark.running import cli
from benchmark.running.repository import dvc, git
from scripts import changes, verify

CODE = ("architectures", "benchmark", "notebook", "stages", "dvc.yaml", "requirements.lock")
PICTURES = "plots"


def main(base: str) -> None:
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    print(report(base), end="")


def report(base: str) -> str:
    """The workspace against where it left `base`. Raises UserError."""
    start = git("merge-base", base, "HEAD").strip()
    faults, _ = verify.told_apart(verify.dvc_status(verify.BENCHMARK))
    return render(
        Path(__file__).with_name("pr_report.md.jinja"),
        base=base,
        start=start,
        results=results(start),
        stale=sorted({line.split(": ")[0] for line in faults}),
        stale_notebook=verify.STALE_NOTEBOOK if verify.notebook_is_stale() else "",
        what_to_do=verify.WHAT_TO_DO.capitalize(),
        diffs={
            what: dvc(what, "diff", "--md", start).replace(start, start[:7]).strip()
            for what, files in (("params", "*params.yaml"), ("metrics", "metrics"))
            if changed(start, files)
        },
        code=changed(start, *CODE),
        **pictures(start),
    )


def results(start: str) -> str:
    """Accuracies, and which changes are more than noise."""
    found = changes.changes(start)
    same = [c for c in found if changes.without_a_test(c) == changes.THE_SAME]
    if len(same) == len(found):
        return f"**No accuracy changes**: all {len(found)} architectures answer the same."
    shown = changes.report(found).rstrip().splitlines()
    names = tuple(f"| {each.name} |" for each in same)
    rest = f" The other {len(same)} answer the same." if same else ""
    return "\n".join(line for line in shown if not line.startswith(names)) + rest


def pictures(start: str) -> dict[str, object]:
    """The pictures that change; where GitHub can show them, before and after."""
    names = [name for name in changed(start, PICTURES) if name.endswith(".png")]
    repository = os.environ.get("GITHUB_REPOSITORY")
    if not repository:
        return {"pictures": names, "places": {}}
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    head = os.environ.get("HEAD_SHA") or git("rev-parse", "HEAD").strip()
    places = {
        name: [
            f"![{what}]({server}/{repository}/blob/{commit}/{name}?raw=true)"
            if git("ls-tree", "--name-only", commit, "--", name)
            else "–"
            for what, commit in (("before", start), ("after", head))
        ]
        for name in names
    }
    return {"pictures": names, "places": places}


def changed(start: str, *paths: str) -> list[str]:
    """The files that differ from `start`, new ones too."""
    listed = git("diff", "--name-only", "-z", start, "--", *paths)
    untracked = git("ls-files", "-o", "-z", "--exclude-standard", "--", *paths)
    return sorted(filter(None, f"{listed}\0{untracked}".split("\0")))


if __name__ == "__main__":
    cli.run(main, cli.BASE)
