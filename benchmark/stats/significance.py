"""Which differences are more than noise: families of tests, in words and in letters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_letters

import networkx as nx

from benchmark.stats.uncertainty import LEVEL, Estimate, Matrix, Net, of_nets


@dataclass(frozen=True)
class Difference:
    """How much better `first` is than `second`.

    points: of accuracy, from -1 to 1, with the interval of this difference alone.
    p: Holm's, over the family of differences that were looked at together.
    """

    first: str
    second: str
    points: Estimate
    p: float

    @property
    def is_significant(self) -> bool:
        return self.p < 1 - LEVEL

    def __str__(self) -> str:
        if not self.is_significant:
            return "not distinguishable"
        low, high = self.points.low, self.points.high
        if self.points.mean < 0:
            low, high = -high, -low
        word = "better" if self.points.mean > 0 else "worse"
        by = in_points(abs(self.points.mean))
        return f"{word} by {by} points, {in_points(low)} to {in_points(high)}"


def differences(
    right: Mapping[str, Matrix], pairs: Iterable[tuple[str, str]]
) -> list[Difference]:
    """Each pair's difference, as one family of tests (Holm 1979).

    right: by name, seeds × images, 1 where right; all of the same images.
    """
    from statsmodels.stats.multitest import multipletests  # takes a second to import

    pairs = list(pairs)
    nets = {name: Net.of(right[name]) for name in {n for pair in pairs for n in pair}}
    found = [of_nets(nets[a], nets[b]) for a, b in pairs]
    if not found:
        return []
    adjusted = multipletests([each.p for each in found], method="holm")[1]
    return [
        Difference(*pair, points, float(p))
        for pair, points, p in zip(pairs, found, adjusted, strict=True)
    ]


def letters(names: Sequence[str], found: Iterable[Difference]) -> dict[str, str]:
    """Letters for groups: those that share one cannot be told apart.

    names: in the order in which letters are given. Each group is as large as can be: a
    maximal clique of what is not distinguishable (the compact display of Piepho, 2004).
    After z and Z come numbers in brackets.
    """
    alike = nx.Graph()
    alike.add_nodes_from(names)
    alike.add_edges_from((d.first, d.second) for d in found if not d.is_significant)
    place = {name: i for i, name in enumerate(names)}
    groups = sorted(
        sorted(place[name] for name in group) for group in nx.find_cliques(alike)
    )
    given = dict.fromkeys(names, "")
    for n, group in enumerate(groups):
        for i in group:
            given[names[i]] += ascii_letters[n : n + 1] or f"[{n + 1}]"
    return given


def in_points(share: float) -> str:
    """.012 as 1.2, .003 as .3, -.003 as −.3."""
    text = f"{abs(share) * 100:.1f}".removeprefix("0")
    return f"−{text}" if share < 0 and text != ".0" else text
