"""Validate notebook/params.yaml."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from benchmark import params
from benchmark.params import Count, Section
from benchmark.running.errors import UserError

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


def load(loaded: params.Params) -> Rows:
    """Read and check the rows. Raises UserError with the first wrong key and the reason.

    loaded: the benchmark's params, which contain the rows that these refer to.
    """
    raw = params.read_yaml(ROWS)
    try:
        table = Rows.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{ROWS}: {params.explain(error.errors()[0], Rows)}") from None
    for name, row in table.rows.items():
        _check(f"{ROWS}: rows.{name}", row, loaded)
    return table


def _check(where: str, row: Row, loaded: params.Params) -> None:
    """Compare a row with the rows of params.yaml."""
    if row.architecture not in loaded.rows:
        known = ", ".join(loaded.rows)
        raise UserError(
            f"{where}.architecture: {row.architecture!r} is not in {params.PARAMS}; "
            f"choose one of {known}"
        )
    takes_blocks = loaded.rows[row.architecture].sized_by == "model"
    if not takes_blocks and row.blocks:
        raise UserError(f"{where}.blocks: {row.architecture} has no blocks; remove the key")
    if not (takes_blocks and row.blocks) and "shared_block" in row.defects:
        raise UserError(f"{where}: shared_block requires a net with blocks, and `blocks`")


def check_name(name: str, table: Rows) -> None:
    """Raise UserError if no row is called `name`."""
    if name not in table.rows:
        known = ", ".join(table.rows)
        raise UserError(f"{name}: not a row of {ROWS}; choose one of {known}")


def settings_of(row: Row, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the benchmark's settings for a net, with the row's number of blocks."""
    return settings | ({"n_blocks": row.blocks} if row.blocks else {})
