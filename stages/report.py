"""Write the report: one HTML file that needs nothing but itself.

`--photographs`: with images of CIFAR-10 and the benchmark's own first filters, to look at
here; the one without them can be in git.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from ruamel.yaml import YAML

from benchmark import params
from benchmark.reporting import charts, dvc_lock, photographs, report_charts
from benchmark.reporting.comparison import against_baseline, all_pairs
from benchmark.reporting.costs import Cost, cost_of
from benchmark.reporting.figures import png
from benchmark.reporting.render import TEMPLATES, render
from benchmark.reporting.results import Results, decimal, environment_of, read
from benchmark.reporting.tables import HardImage, hardest
from benchmark.running import cli, stage
from benchmark.stats.significance import letters
from benchmark.training import recipe

WITHOUT, WITH = Path("plots/report.html"), Path("pictures/report.html")
CONVOLUTION = {WITHOUT: Path("plots/convolution"), WITH: Path("pictures/convolution")}
# Images that most architectures get wrong.
MOST_IMAGES = {WITHOUT: 12, WITH: 24}
SCALE = 3


@dataclass(frozen=True)
class Picture:
    """file: a PNG. says: what it shows, for whoever does not see it."""

    file: bytes
    says: str

    @property
    def source(self) -> str:
        return f"data:image/png;base64,{base64.b64encode(self.file).decode()}"


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
        pictures=pictures(loaded, results, costs, target),
        params=in_yaml(loaded),
        environments=environments(results),
        md5s=dvc_lock.md5s(),
    )


def cost(loaded: params.Params, name: str) -> Cost:
    return cost_of(
        recipe.find(name), len(loaded.data.classes), recipe.settings_of(loaded, name)
    )


def pictures(
    loaded: params.Params, results: Results, costs: dict[str, Cost], target: Path
) -> dict[str, Picture]:
    """Every picture of the report but for single photographs, with what it says."""
    against, found = against_baseline(results), all_pairs(results)
    best = results.by_accuracy[0]
    worst = results.by_accuracy[-1]
    span = (
        f"from {worst} with {decimal(results.metrics[worst]['val_accuracy'])} to {best} "
        f"with {decimal(results.metrics[best]['val_accuracy'])}"
    )
    apart = [name for name, each in against.items() if each.is_significant]
    shown = {
        "ranking": Picture(
            png(charts.ranking(results, against, found)),
            f"Validation accuracy of each architecture with its interval, {span}. Other "
            f"than the baseline by more than noise: {', '.join(apart) or 'none'}.",
        ),
        "loss": Picture(
            png(charts.loss_curves(results)),
            "Training loss by epoch, a panel an architecture, each seed a line.",
        ),
        "cost": Picture(
            png(report_charts.accuracy_against_cost(results, costs, against)),
            "Validation accuracy over parameters and over multiply-adds; the table of "
            "results holds the numbers.",
        ),
        "confusion": Picture(
            png(report_charts.confusion(results, loaded.data.classes)),
            "For each architecture, how often each class is taken for each.",
        ),
    }
    if found:
        shown["pairs"] = Picture(
            png(report_charts.pairs(results, found)),
            "By how many points each architecture is better than each other; the list "
            "below names those that are more than noise.",
        )
    for name, says in (
        ("filters", "The sixteen 3×3 kernels of the first convolution, as colours."),
        ("layers", "What each layer gives for one image, and the gradients."),
    ):
        shown[name] = Picture((CONVOLUTION[target] / f"{name}.png").read_bytes(), says)
    return shown


def enlarged(wrong: list[HardImage]) -> dict[int, Picture]:
    """The photographs by their index."""
    images, _, names = photographs.load()
    found = {}
    for each in wrong:
        pixels = images[each.index].permute(1, 2, 0).numpy()
        image = Image.fromarray(pixels)
        image = image.resize([SCALE * s for s in image.size], Image.Resampling.NEAREST)
        buffer = io.BytesIO()
        image.save(buffer, "png", optimize=True)
        found[each.index] = Picture(
            buffer.getvalue(),
            f"validation image {each.index}, of class {names[each.label]}",
        )
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
