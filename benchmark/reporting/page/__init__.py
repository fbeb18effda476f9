"""The parts of the report that run in the browser: the data, and the scripts."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.reporting.comparison import Comparison, ranked
from benchmark.reporting.results import CHAPTER, Results

# In this order: later ones use the functions of earlier ones.
SCRIPTS = ("page.js", "stats.js", "who_wins.js", "planner.js", "explorer.js", "net.js")


@dataclass(frozen=True)
class Title:
    """key: a short name for the address and the scripts, different for each family."""

    key: str
    heading: str


def titles(families: Sequence[Results]) -> list[Title]:
    """Return the titles of the families, which can share a table, but not its split."""
    found: list[Title] = []
    tables = [results.table for results in families]
    for results in families:
        whose = "chapter's" if results.table == CHAPTER else results.table
        heading = (
            f"With the {whose} recipe" if results.has_recipe else f"In the {whose} table"
        )
        if tables.count(results.table) > 1:
            heading += ", in folds" if results.n_folds else ", on the official test images"
        key = re.sub(r"\W+", "-", results.title)
        while key in (title.key for title in found):
            key += "-2"
        found.append(Title(key, heading))
    return found


def scripts() -> list[str]:
    """Return the page's scripts."""
    return list(map(_read, SCRIPTS))


def styles() -> str:
    """Return the page's CSS."""
    return _read("page.css")


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


def data(
    comparisons: Sequence[Comparison], seconds: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return what the scripts need: which predictions are correct, of every net.

    seconds: how long a training run takes, by row, if it is known.
    """
    families = [comparison.results for comparison in comparisons]
    return {
        "margin": families[0].margin,
        "families": [
            {"key": title.key, "heading": title.heading, **family(results, seconds or {})}
            for results, title in zip(families, titles(families), strict=True)
            if is_shown(results)
        ],
        "hasSeveralRecipes": len(families) > 1,
    }


def is_shown(results: Results) -> bool:
    """Return whether the reader can choose among seeds or folds.

    All nets need the same number of seeds, or exactly one run per fold. Otherwise, the page
    would leave runs out, and could contradict the tables.
    """
    if results.n_folds:
        is_complete = not results.incomplete and results.max_seeds == results.n_folds
        return is_complete and len(results.names) > 1
    return len(results.names) > 1 and 1 < results.n_seeds == results.max_seeds


def family(results: Results, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Return a family for the scripts: its nets, in the order of the ranking.

    correct: one bit per seed and image, or per image in folds, fold by fold. Each seed or
    fold starts with a new byte. seconds: of one training run, or null.
    """
    folds = results.folds if results.n_folds else None
    names = ranked(results) if results.n_folds else results.by_accuracy
    return {
        "folds": bool(results.n_folds),
        "parts": results.n_folds or results.n_seeds,
        "sizes": (
            [results.n_test] * results.n_seeds
            if folds is None
            else np.bincount(folds).tolist()
        ),
        "nets": [
            {
                "name": name,
                "correct": pack(
                    results.correct[name][: results.n_seeds]
                    if folds is None
                    else [results.correct[name][folds == k] for k in range(results.n_folds)]
                ),
                "seconds": seconds.get(results.rows[name].name),
            }
            for name in names
        ],
    }


def pack(parts: Any) -> str:
    """Pack rows of 0 and 1 into bits, as base64."""
    packed = b"".join(np.packbits(np.asarray(part) == 1).tobytes() for part in parts)
    return b64encode(packed).decode()
