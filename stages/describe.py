"""Write the model card of the exported baseline: docs/model_card.md."""

from pathlib import Path

from benchmark import params
from benchmark.reporting.render import TEMPLATES, render
from benchmark.reporting.results import BASELINE, environment_of, read
from benchmark.running import stage

CARD = Path("docs/model_card.md")


def main() -> None:
    loaded = params.load()
    row = params.row_of(loaded, BASELINE)
    results = read([row], loaded.compare.margin / 100)
    text = render(
        TEMPLATES / "model_card.md.jinja",
        data=loaded.data,
        train=row.training,
        metrics=results.metrics[BASELINE],
        interval=results.intervals.get(BASELINE),
        first=results.seeds[BASELINE].iloc[0],
        n_test=results.predictions[BASELINE]["seed_0"].count(),
        tested_on=results.tested_on,
        n_seeds=results.n_seeds,
        environment=environment_of(BASELINE),
    )
    stage.write(CARD, text)


if __name__ == "__main__":
    stage.run(main)
