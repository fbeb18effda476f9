"""notebook/params.yaml as a typed, frozen schema."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from ruamel.yaml import YAML

from benchmark.errors import UserError
from benchmark.params import Count, Section

ROWS = Path("notebook/params.yaml")

Defect = Literal[
    "added_penalty",
    "batches_outside",
    "fixed_order",
    "scored_in_train_mode",
    "shared_block",
    "stale_optimizer",
]


class Row(Section):
    architecture: str
    lr: Annotated[float, Field(gt=0)]
    epochs: Count
    blocks: Count | None = None
    defects: list[Defect]


class Rows(Section):
    seeds: Annotated[int, Field(ge=2, le=1000)]
    rows: dict[str, Row]


def load() -> Rows:
    """Read and check the rows. Raises UserError: the key that is wrong, and why."""
    try:
        return Rows.model_validate(YAML(typ="safe").load(ROWS.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{ROWS}: {key}: {first['input']!r}: {first['msg']}") from None


def named_on_command_line(arguments: list[str], rows: Rows) -> tuple[str, Row]:
    """The row that a script's only argument names."""
    known = ", ".join(rows.rows)
    if len(arguments) != 2 or arguments[1] not in rows.rows:
        raise UserError(f"name one row of {ROWS}: {known}")
    return arguments[1], rows.rows[arguments[1]]


def settings_of(row: Row, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of the row's net: the benchmark's, with the row's number of blocks."""
    return settings | ({"n_blocks": row.blocks} if row.blocks else {})
