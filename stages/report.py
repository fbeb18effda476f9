"""Write the report: one HTML file that needs nothing but itself.

`--photographs`: with images of CIFAR-10 and the benchmark's own first filters, to look at
here; the one without them can be in git.
"""

import io
from pathlib import Path

from PIL import Image
from ruamel.yaml import YAML

from benchmark import params
from benchmark.reporting import charts, dvc_lock, photographs, report_charts
from benchmark.reporting.comparison import against_baseline, all_pairs
from benchmark.reporting.costs import Cost, cost_of
from benchmark.reporting.figures import png
from benchmark.reporting.render import TEMPLATES, render
from benchmark.reporting.results import Results, environment_of, read
from benchmark.reporting.tables import HardImage, hardest
from benchmark.running import cli, stage
from benchmark.stats.significance import letters
from benchmark.training import recipe

WITHOUT, WITH = Path("plots/report.html"), Path("pictures/report.html")
CONVOLUTION = {WITHOUT: Path("plots/convolution"), WITH: Path("pictures/convolution")}
# Images that most architectures get wrong.
MOST_IMAGES = {WITHOUT: 12, WITH: 24}
SCALE = 3


def main(photographs: bool = False) -> None:
    loaded = params.load()
    target = WITH if photographs else WITHOUT
    stage.write(target, page(loaded, target))


def page(loaded: params.Params, target: Path) -> str:
    results = read(list(loaded.architectures))
    against, found = against_baseline(results), all_pairs(results)
    costs = {name: cost(loaded, name) for name in results.names}
    wrong = hardest(results, MOST_IMAGES[target])
    return render(
        TEMPLATES / "report.html",
        results=results,
        against=against,
        costs=costs,
        letters=letters(results.by_accuracy, found) if found else {},
        real=[pair for pair in found if pair.is_significant],
        n_pairs=len(found),
        wrong=wrong,
        class_names=loaded.data.classes,
        photographs=enlarged(wrong) if target == WITH else {},
        params=in_yaml(loaded),
        environments=environments(results),
        md5s=dvc_lock.md5s(),
        pictures=pictures(loaded, results, costs, target),
    )


def cost(loaded: params.Params, name: str) -> Cost:
    return cost_of(
        recipe.find(name), len(loaded.data.classes), recipe.settings_of(loaded, name)
    )


def pictures(
    loaded: params.Params, results: Results, costs: dict[str, Cost], target: Path
) -> dict[str, bytes]:
    """Every picture of the report but for single photographs, as PNG."""
    against, found = against_baseline(results), all_pairs(results)
    figures = {
        "ranking": charts.ranking(results, against, found),
        "loss": charts.loss_curves(results),
        "cost": report_charts.accuracy_against_cost(results, costs, against),
        "confusion": report_charts.confusion(results, loaded.data.classes),
    }
    if found:
        figures["pairs"] = report_charts.pairs(results, found)
    files = {name: CONVOLUTION[target] / f"{name}.png" for name in ("filters", "layers")}
    return {name: png(figure) for name, figure in figures.items()} | {
        name: file.read_bytes() for name, file in files.items()
    }


def enlarged(wrong: list[HardImage]) -> dict[int, bytes]:
    """The photographs by their index, as PNG."""
    images = photographs.load()[0]
    found = {}
    for each in wrong:
        image = Image.fromarray(images[each.index].permute(1, 2, 0).numpy())
        image = image.resize([SCALE * s for s in image.size], Image.Resampling.NEAREST)
        buffer = io.BytesIO()
        image.save(buffer, "png", optimize=True)
        found[each.index] = buffer.getvalue()
    return found


def in_yaml(loaded: params.Params) -> str:
    """The params as YAML, without the comments."""
    buffer = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.dump(loaded.model_dump(), buffer)
    return buffer.getvalue()


def environments(results: Results) -> dict[str, list[str]]:
    """Each environment that architectures were trained in, and which."""
    found: dict[str, list[str]] = {}
    for name in results.names:
        each = environment_of(name)
        words = ", ".join(f"{key} {value}" for key, value in each.items())
        found.setdefault(words, []).append(name)
    return found


if __name__ == "__main__":
    stage.run(main, cli.PHOTOGRAPHS)
