"""Pages from templates: Markdown, and the report's HTML."""

from base64 import b64encode
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark.reporting.results import decimal
from benchmark.stats.significance import in_points

TEMPLATES = Path(__file__).with_name("templates")


def render(template: Path, **values: Any) -> str:
    """The page; what an HTML page shows is escaped.

    In templates, `x | decimal` is .8948, `x | points` is 1.2, `x | count` is 1,234,
    `x | percent` is 4.5%, and `x | png` is the address that holds the picture itself.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=".html" in template.suffixes,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "decimal": decimal,
        "points": in_points,
        "count": lambda number: f"{number:,.0f}",
        "percent": lambda share: f"{share:.1%}",
        "png": lambda file: f"data:image/png;base64,{b64encode(file).decode()}",
    }
    return environment.get_template(template.name).render(**values)
