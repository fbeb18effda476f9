"""Write the report, a single HTML file that opens offline: plots/report.html.

With `--real-images`, it contains CIFAR-10 images, so it goes to pictures/, which git
ignores.
"""

import io
from pathlib import Path

from PIL import Image
from ruamel.yaml import YAML

from benchmark import params
from benchmark.reporting import charts, dvc_lock, page, report_charts
from benchmark.reporting.comparison import Comparison, compare, warning
from benchmark.reporting.costs import Cost, cost_of
from benchmark.reporting.figures import png
from benchmark.reporting.real_images import load_real_images
from benchmark.reporting.render import TEMPLATES, render
from benchmark.reporting.results import Results, environment_of, read_families
from benchmark.reporting.tables import HardImage, hardest, question
from benchmark.running import cli, stage
from benchmark.stats.planning import in_full
from benchmark.training import recipe

COMMITTED, REAL = Path("plots/report.html"), Path("pictures/report.html")
CONVOLUTION = {COMMITTED: Path("plots/convolution"), REAL: Path("pictures/convolution")}
# The maximum number of hard images to show.
MAX_IMAGES = {COMMITTED: 12, REAL: 24}
SCALE = 3


def main(real_images: bool = False) -> None:
    loaded = params.load()
    target = REAL if real_images else COMMITTED
    stage.write(target, render_report(loaded, target))


def render_report(loaded: params.Params, target: Path) -> str:
    families = read_families(loaded)
    comparisons = [compare(results) for results in families]
    costs = [
        {name: cost(loaded, row) for name, row in results.rows.items()}
        for results in families
    ]
    hard_images = hardest(families[0], MAX_IMAGES[target])
    return render(
        TEMPLATES / "report.html",
        families=families,
        comparisons=comparisons,
        data=page.data(comparisons),
        scripts=page.scripts(),
        in_full=in_full,
        costs=costs,
        warnings=[warning(results) for results in families],
        hard_images=hard_images,
        question=question(loaded.data.classes),
        class_names=loaded.data.classes,
        enlarged=enlarge(hard_images) if target == REAL else {},
        params=to_yaml(loaded),
        environments=environments(families),
        md5s=dvc_lock.md5s(),
        pictures=pictures(loaded, comparisons, costs, target),
    )


def cost(loaded: params.Params, row: params.Row) -> Cost:
    architecture = recipe.load_architecture(row.net)
    return cost_of(architecture, len(loaded.data.classes), row.settings)


def pictures(
    loaded: params.Params,
    comparisons: list[Comparison],
    costs: list[dict[str, Cost]],
    target: Path,
) -> dict[str, bytes]:
    """Return the report's charts as PNG, by name."""
    families = [comparison.results for comparison in comparisons]
    figures = {
        "ranking": charts.ranking(comparisons),
        "loss": charts.loss_curves(families),
        "confusion": report_charts.confusion(families[0], loaded.data.classes),
    }
    for i, comparison in enumerate(comparisons):
        figures[f"cost_{i}"] = report_charts.accuracy_against_cost(comparison, costs[i])
        if comparison.pairs:
            figures[f"pairs_{i}"] = report_charts.pairs(comparison)
    files = {name: CONVOLUTION[target] / f"{name}.png" for name in ("filters", "layers")}
    return {name: png(figure) for name, figure in figures.items()} | {
        name: file.read_bytes() for name, file in files.items()
    }


def enlarge(hard_images: list[HardImage]) -> dict[int, bytes]:
    """Return enlarged CIFAR-10 images as PNG, by index."""
    images = load_real_images()[0]
    files = {}
    for hard_image in hard_images:
        image = Image.fromarray(images[hard_image.index].permute(1, 2, 0).numpy())
        image = image.resize([SCALE * s for s in image.size], Image.Resampling.NEAREST)
        buffer = io.BytesIO()
        image.save(buffer, "png", optimize=True)
        files[hard_image.index] = buffer.getvalue()
    return files


def to_yaml(loaded: params.Params) -> str:
    """Format the params as YAML, without comments."""
    buffer = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.dump(loaded.model_dump(), buffer)
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
