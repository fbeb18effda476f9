"""Write the report, a single HTML file that opens offline: plots/report.html.

With `--real-images`, it contains CIFAR-10 images and a net that was trained on them, so it
goes to pictures/, which git ignores.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from ruamel.yaml import YAML

from benchmark import params
from benchmark.classes import SYNTHETIC_CLASSES
from benchmark.reporting import dvc_lock, page
from benchmark.reporting.comparison import (
    Comparison,
    compare,
    ranked,
    split_tables,
    warning,
)
from benchmark.reporting.costs import Cost, by_cost, cost_of, front, training_seconds
from benchmark.reporting.details import (
    HEIGHT,
    MAX_LISTED,
    WIDTH,
    Details,
    PairedCount,
    details_of,
)
from benchmark.reporting.example_net import example
from benchmark.reporting.page.net import N_READY, net
from benchmark.reporting.real_images import load_real_images
from benchmark.reporting.render import TEMPLATES, render
from benchmark.reporting.results import Results, environment_of, read_families
from benchmark.reporting.scales import Scale, cost_scale, ranking_scale
from benchmark.reporting.summary import listed, summary
from benchmark.reporting.tables import Idea, hardest, idea_of, question
from benchmark.running import cli, errors, stage
from benchmark.stats.planning import in_full
from benchmark.training import recipe

COMMITTED, REAL = Path("plots/report.html"), Path("pictures/report.html")
# The most images to show: the hardest ones, and those of each net.
MAX_HARDEST, MAX_SHOWN = 24, 12


@dataclass(frozen=True)
class Table:
    """What the report shows of a family. costs, details: by net."""

    results: Results
    comparison: Comparison
    title: page.Title
    costs: dict[str, Cost]
    details: dict[str, Details]

    @property
    def summary(self) -> str:
        return summary(self.comparison, self.costs)

    @property
    def warning(self) -> str:
        return warning(self.results)

    @property
    def ideas(self) -> dict[str, Idea]:
        # Two tables can have different nets of the same name.
        return {name: idea_of(row) for name, row in self.results.rows.items()}

    @property
    def scale(self) -> Scale:
        return ranking_scale(self.results)

    @property
    def front(self) -> list[str]:
        return front(
            {name: cost.multiply_adds for name, cost in self.costs.items()},
            {name: row["val_accuracy"] for name, row in self.results.metrics.items()},
        )

    @property
    def cost_scale(self) -> Scale:
        return cost_scale(self.costs.values())


def main(real_images: bool = False) -> None:
    loaded = params.load()
    target = REAL if real_images else COMMITTED
    stage.write(target, render_report(loaded, target))


def render_report(loaded: params.Params, target: Path) -> str:
    families = read_families(loaded)
    comparisons = [compare(results) for results in families]
    # First the tables that have the same nets, as on the other pages.
    beside, others = split_tables(comparisons)
    comparisons = [*beside, *others]
    families = [comparison.results for comparison in comparisons]
    n_classes = len(loaded.data.classes)
    tables = [
        Table(
            comparison.results,
            comparison,
            title,
            {n: cost_of_row(loaded, row) for n, row in comparison.results.rows.items()},
            {
                n: details_of(n, comparison.results, n_classes)
                for n in comparison.results.names
            },
        )
        for comparison, title in zip(comparisons, page.titles(families), strict=True)
    ]
    # The net that is trained here knows only the classes of the generated images.
    has_net = target == REAL or set(loaded.data.classes) == set(SYNTHETIC_CLASSES)
    shown = example(loaded, real_images=target == REAL) if has_net else None
    hard_images = hardest(families[0], MAX_HARDEST) if target == REAL else []
    hard = [image.index for image in hard_images]
    of_nets = [
        i
        for each in tables
        for d in each.details.values()
        for i in d.only_wrong[:MAX_SHOWN]
    ]
    ready = [*hard, *range(N_READY)][:N_READY]
    return render(
        TEMPLATES / "report.html",
        tables=tables,
        summarized=[*tables[: len(beside)][::-1], *tables[len(beside) :]],
        # A single net has no place in a ranking.
        ranked_tables=[each for each in tables if len(each.costs) > 1] or tables,
        by_cost=by_cost,
        hard_images=hard_images,
        image_files=image_files([*hard, *of_nets]) if target == REAL else {},
        data={
            **page.data(comparisons, training_seconds(loaded)),
            "net": shown and net(shown, ready),
        },
        scripts=page.scripts(),
        styles=page.styles(),
        question=question(loaded.data.classes),
        class_names=loaded.data.classes,
        params=to_yaml(loaded),
        environments=environments(families),
        md5s=dvc_lock.md5s(),
        loss_size=(WIDTH, HEIGHT),
        max_listed=MAX_LISTED,
        max_shown=MAX_SHOWN,
        ranked=ranked,
        in_full=in_full,
        listed=listed,
        paired=paired,
    )


def cost_of_row(loaded: params.Params, row: params.Row) -> Cost:
    with errors.blame_architecture(row.name):
        architecture = recipe.load_architecture(row.net)
    n_classes = len(loaded.data.classes)
    return cost_of(architecture, n_classes, row.settings, row.training.flip_at_test)


def paired(first: str, second: str, count: PairedCount) -> str:
    """Say how often one of two nets is right and the other wrong."""
    return (
        f"Of {count.answers:,} answers, {first} is right and {second} wrong in "
        f"{count.only_first:,}, and {second} right and {first} wrong in "
        f"{count.only_second:,}."
    )


def image_files(indices: Iterable[int]) -> dict[int, bytes]:
    """Return CIFAR-10 images as PNG, by index."""
    images = load_real_images()[0]
    files = {}
    for index in dict.fromkeys(indices):
        image = Image.fromarray(images[index].permute(1, 2, 0).numpy())
        buffer = io.BytesIO()
        image.save(buffer, "png", optimize=True)
        files[index] = buffer.getvalue()
    return files


def to_yaml(loaded: params.Params) -> str:
    """Format the params as YAML, without comments."""
    buffer = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.dump(loaded.model_dump(exclude_none=True), buffer)
    return buffer.getvalue()


def environments(families: list[Results]) -> dict[str, list[str]]:
    """Return the rows that each machine trained, by the machine's description."""
    rows: dict[str, list[str]] = {}
    for name in (row.name for results in families for row in results.rows.values()):
        machine = ", ".join(f"{key} {value}" for key, value in environment_of(name).items())
        rows.setdefault(machine, []).append(name)
    return rows


if __name__ == "__main__":
    stage.run(main, cli.REAL_IMAGES)
