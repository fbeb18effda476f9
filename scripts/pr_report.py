"""What a branch changes, as Markdown for a pull request.

Params, metrics, which of it is more than noise, pictures, and whether the results are
those of the branch's code. All of it is in git: no data, models, cache or remote.
"""

import argparse
import os
import sys

from benchmark import errors
from scripts import changes, verify

CODE = ("architectures", "benchmark", "notebook", "stages", "dvc.yaml", "requirements.lock")
PICTURES = "plots"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.pr_report", description=__doc__
    )
    parser.add_argument("base", help="the branch that this one goes into: main")
    base = parser.parse_args().base
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    print(report(base))


def report(base: str) -> str:
    """The workspace against where it left `base`. Raises UserError."""
    start = changes.git("merge-base", base, "HEAD").strip()
    sections = [
        f"## Airplane or bird: what changes against `{base}` ({start[:7]})",
        results(start),
        freshness(),
        *(
            table(title, verify.dvc(what, "diff", "--md", start).replace(start, start[:7]))
            for title, what in (("Params", "params"), ("Metrics", "metrics"))
        ),
        code(start),
        pictures(start),
    ]
    return "\n\n".join(filter(None, sections))


def results(start: str) -> str:
    """Accuracies, and which changes are more than noise."""
    found = changes.changes(start)
    same = [c for c in found if changes.without_a_test(c) == changes.THE_SAME]
    lines = changes.report(found).splitlines()
    shown = [
        line
        for line in lines
        if not any(line.startswith(f"| {each.name} |") for each in same)
    ]
    if len(same) == len(found):
        return f"**No accuracy changes**: all {len(found)} architectures answer the same."
    rest = f" The other {len(same)} answer the same." if same else ""
    return "\n".join(shown) + rest


def freshness() -> str:
    """Whether the results are those of the code, and what is not."""
    faults, _ = verify.told_apart(verify.dvc_status(verify.BENCHMARK))
    of_notebook = f"\n\n{verify.STALE_NOTEBOOK}" if verify.notebook_is_stale() else ""
    if not faults:
        return (
            "The results are those of this code, these params and data (`make verify`)."
            + of_notebook
        )
    stages = sorted({line.split(": ")[0] for line in faults})
    return (
        "⚠️ **The results are not those of this code**: "
        f"{', '.join(f'`{stage}`' for stage in stages)} would run again. "
        f"{verify.WHAT_TO_DO.capitalize()}.{of_notebook}"
    )


def table(title: str, markdown: str) -> str:
    """A table, folded away, or nothing where it has no row below its head."""
    if len(markdown.strip().splitlines()) <= 2:
        return ""
    return f"<details><summary>{title}</summary>\n\n{markdown.strip()}\n\n</details>"


def code(start: str) -> str:
    names = changed(start, *CODE)
    return f"Code: {', '.join(f'`{name}`' for name in names)}" if names else ""


def pictures(start: str) -> str:
    """The pictures before and after, side by side where GitHub can show them."""
    names = [name for name in changed(start, PICTURES) if name.endswith(".png")]
    if not names:
        return ""
    repository = os.environ.get("GITHUB_REPOSITORY")
    if not repository:
        return f"Pictures that change: {', '.join(f'`{name}`' for name in names)}"
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    head = os.environ.get("HEAD_SHA") or changes.git("rev-parse", "HEAD").strip()
    before, after = (f"{server}/{repository}/blob/{sha}" for sha in (start, head))
    rows = [
        f"| {name} | {picture('before', before, start, name)} "
        f"| {picture('after', after, head, name)} |"
        for name in names
    ]
    lines = ["| picture | before | after |", "|---|---|---|", *rows]
    return table("Pictures", "\n".join(lines))


def picture(what: str, place: str, commit: str, name: str) -> str:
    """A picture as that commit has it, or a dash where it has none."""
    if not changes.git("ls-tree", "--name-only", commit, "--", name):
        return "–"
    return f"![{what}]({place}/{name}?raw=true)"


def changed(start: str, *paths: str) -> list[str]:
    """The files that differ from `start`, new ones too."""
    listed = changes.git("diff", "--name-only", "-z", start, "--", *paths)
    untracked = changes.git("ls-files", "-o", "-z", "--exclude-standard", "--", *paths)
    return sorted(filter(None, f"{listed}\0{untracked}".split("\0")))


if __name__ == "__main__":
    errors.run(main)
