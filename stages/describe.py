"""Write the model card of the exported baseline: docs/model_card.md."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark import params, stage
from benchmark.results import BASELINE, decimal, environment_of, read

CARD = Path("docs/model_card.md")
TEMPLATE = Path(__file__).with_name("model_card.md")


def main() -> None:
    loaded = params.load()
    results = read([BASELINE])
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template(TEMPLATE.name).render(
        data=loaded.data,
        train=loaded.train.model_copy(update=loaded.architectures[BASELINE].overrides),
        metrics=results.metrics[BASELINE],
        first=results.seeds[BASELINE].iloc[0],
        n_val=results.n_val,
        n_seeds=results.n_seeds,
        made=environment_of(BASELINE),
        decimal=decimal,
    )
    stage.write(CARD, text.encode())


if __name__ == "__main__":
    stage.run(main)
