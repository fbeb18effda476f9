"""Test which differences are significant, and describe the outcome."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_letters

import networkx as nx

from benchmark.stats.uncertainty import LEVEL, Estimate, Matrix, ScoredNet, compare_nets


@dataclass(frozen=True)
class Difference:
    """How much more accurate `first` is than `second`.

    estimate: the difference, from -1 to 1; its interval is not corrected for multiple
    comparisons.
    p: corrected by Holm's method for all comparisons in the family.
    """

    first: str
    second: str
    estimate: Estimate
    p: float

    @property
    def is_significant(self) -> bool:
        return self.p < 1 - LEVEL

    def __str__(self) -> str:
        if not self.is_significant:
            return "no clear difference"
        low, high = self.estimate.low, self.estimate.high
        if self.estimate.mean < 0:
            low, high = -high, -low
        word = "better" if self.estimate.mean > 0 else "worse"
        by = format_points(abs(self.estimate.mean))
        return f"{word} by {by} points ({format_points(low)} to {format_points(high)})"


def differences(
    correct: Mapping[str, Matrix], pairs: Iterable[tuple[str, str]]
) -> list[Difference]:
    """Test each pair's difference, all pairs as one family (Holm 1979).

    correct: by name, a matrix of seeds × images with 1 for a correct prediction and 0 for a
    wrong one. All matrices are for the same images.
    """
    pairs = list(pairs)
    names = {name for pair in pairs for name in pair}
    nets = {name: ScoredNet.from_matrix(correct[name]) for name in names}
    return holm(pairs, [compare_nets(nets[a], nets[b]) for a, b in pairs])


def holm(
    pairs: Sequence[tuple[str, str]], estimates: Sequence[Estimate]
) -> list[Difference]:
    """Correct the p-values of these comparisons, which are one family (Holm 1979)."""
    from statsmodels.stats.multitest import multipletests  # the import takes a second

    if not estimates:
        return []
    adjusted = multipletests([estimate.p for estimate in estimates], method="holm")[1]
    return [
        Difference(*pair, estimate, float(p))
        for pair, estimate, p in zip(pairs, estimates, adjusted, strict=True)
    ]


def compact_letter_display(
    names: Sequence[str], tested: Iterable[Difference]
) -> dict[str, str]:
    """Give each net letters. Two nets share one if their difference is not significant.

    names: letters are assigned in this order. A letter stands for a maximal clique of nets
    that do not differ significantly (the compact letter display of Piepho, 2004). When the
    letters a to z and A to Z are used up, numbers in brackets follow.
    """
    alike = nx.Graph()
    alike.add_nodes_from(names)
    alike.add_edges_from((d.first, d.second) for d in tested if not d.is_significant)
    position = {name: i for i, name in enumerate(names)}
    groups = sorted(
        sorted(position[name] for name in group) for group in nx.find_cliques(alike)
    )
    letters = dict.fromkeys(names, "")
    for n, group in enumerate(groups):
        for i in group:
            letters[names[i]] += ascii_letters[n : n + 1] or f"[{n + 1}]"
    return letters


def format_points(share: float) -> str:
    """Format a difference of accuracies in points: .012 as 1.2, -.003 as −0.3."""
    text = f"{abs(share) * 100:.1f}"
    return f"−{text}" if share < 0 and text != "0.0" else text


def format_percent(share: float) -> str:
    """Format a share, such as an accuracy: .8948 as 89.5%."""
    return f"{share:.1%}"
