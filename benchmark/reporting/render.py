"""Render templates: Markdown pages, and the HTML report."""

from base64 import b64encode
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark.stats.verdicts import format_percent, format_points

TEMPLATES = Path(__file__).with_name("templates")


def render(template: Path, **values: Any) -> str:
    """Render a template. In HTML, values are escaped.

    Filters for templates: `x | percent` is 89.5%, `x | points` is 1.2, `x | loss` is
    0.0131, `x | count` is 1,234, and `x | png` is a data URL that contains the picture.
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
        "percent": format_percent,
        "points": format_points,
        "count": lambda number: f"{number:,.0f}",
        "loss": lambda loss: f"{loss:.4f}",
        "png": lambda file: f"data:image/png;base64,{b64encode(file).decode()}",
    }
    return environment.get_template(template.name).render(**values)
