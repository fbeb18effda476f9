"""Check that every net can be trained, before any work starts."""

import inspect
from typing import Any

import torch
from pydantic import ValidationError, create_model

from benchmark import params
from benchmark.running import errors
from benchmark.running.errors import UserError
from benchmark.training import recipe

# Arguments that the benchmark passes to a file's functions. All others are settings.
PASSED = {"n_classes", "parameters", "lr", "optimizer", "steps"}


def check_rows(loaded: params.Params, *names: str) -> None:
    """Check the settings of all rows, then build and score the nets of the named ones.

    Raises UserError if something is wrong.
    """
    rows = {name: params.row_of(loaded, name) for name in loaded.rows}
    architectures = {}
    for name, row in rows.items():
        with errors.blame_architecture(name):
            architectures[name] = recipe.load_architecture(row.net)
        check_settings(loaded, row, architectures[name])
        check_recipe(loaded, row, architectures[name])
    for name in names:
        check_net(rows[name], architectures[name], len(loaded.data.classes))


def check_settings(
    loaded: params.Params, row: params.Row, architecture: recipe.Architecture
) -> None:
    """Compare a row in params.yaml with the arguments that the net's file declares."""
    file, entry = row.file.as_posix(), loaded.rows[row.name]
    where = f"{params.PARAMS}: rows.{row.name}"
    with errors.explained(
        f"{file}: annotate every setting as int, float or "
        "Annotated[int or float, Interval(…)] ({})",
        Exception,
    ):
        declared = arguments_of(architecture)
        fields: dict[str, Any] = {
            key: (kind, ... if default is inspect.Parameter.empty else default)
            for key, (kind, default) in declared.items()
        }
        config = params.Section.model_config
        schema = create_model("Settings", __config__=config, **fields)
    taken = declared.keys() & {*params.Recipe.model_fields, *params.Entry.model_fields}
    if taken:
        raise UserError(
            f"{file}: {', '.join(sorted(taken))}: already a key of a row or a recipe; "
            "rename the argument"
        )
    sizes = tuple(key for key in params.Model.model_fields if key in declared)
    wanted = {names: key for key, names in params.SIZES.items()}.get(sizes, "model")
    if entry.sized_by != wanted:
        takes = " and ".join(sizes) or "neither n_chans nor n_blocks"
        raise UserError(
            f"{where}.sized_by: {entry.sized_by!r}, but {file} takes {takes}; "
            f"write {wanted}"
        )
    settings = {k: v for k, v in row.settings.items() if k in sizes or k in entry.settings}
    try:
        schema.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = first["loc"][0]
        problem = params.explain(first, schema)
        if first["type"] == "extra_forbidden":
            fixed = ("net", "recipe", "sized_by")
            allowed = ", ".join([*fixed, *declared, *params.Recipe.model_fields])
            problem = f"{key}: unknown; the allowed keys are {allowed}"
        is_shared = key in sizes and key not in entry.settings
        section = f"{params.PARAMS}: model" if is_shared else where
        takes = ", ".join(declared) or "no settings"
        raise UserError(f"{section}.{problem}; {file} takes {takes}") from None


def check_recipe(
    loaded: params.Params, row: params.Row, architecture: recipe.Architecture
) -> None:
    """Raise UserError if a field of the recipe would silently have no effect."""
    overrides = loaded.rows[row.name].overrides
    for kind, fields in recipe.REPLACES.items():
        if getattr(architecture, kind) is None:
            continue
        for field in fields:
            value = getattr(row.training, field)
            # A recipe is made for many nets, but a row's own value is for this net.
            if field in overrides or (kind in ("loss", "penalty") and value):
                raise UserError(
                    f"{params.PARAMS}: rows.{row.name}: {field}: {value} has no effect, "
                    f"because {row.file.as_posix()} has its own {kind}; remove one of them"
                )


def replaced(row: params.Row, architecture: recipe.Architecture) -> str:
    """Say which parts of the recipe the net's file replaces; empty if none."""
    parts = [
        f"its own {kind} (instead of {', '.join(fields)})"
        for kind, fields in recipe.REPLACES.items()
        if getattr(architecture, kind) is not None
    ]
    return f"{row.name}: {row.file.as_posix()} has {' and '.join(parts)}" if parts else ""


def arguments_of(architecture: recipe.Architecture) -> dict[str, tuple[Any, Any]]:
    """Return the settings that an architecture's file takes: types and default values.

    An argument without an annotation counts as float.
    """
    functions = (
        architecture.net,
        architecture.optimizer,
        architecture.penalty,
        architecture.schedule,
    )
    return {
        argument.name: (
            float if argument.annotation is argument.empty else argument.annotation,
            argument.default,
        )
        for function in functions
        if function is not None
        for argument in inspect.signature(function, eval_str=True).parameters.values()
        if argument.name not in PASSED
    }


def check_net(row: params.Row, architecture: recipe.Architecture, n_classes: int) -> None:
    """Build everything that training needs, and score one image. Raises UserError."""
    file = row.file.as_posix()
    try:
        with errors.blame_architecture(row.name):
            net = recipe.build_model(architecture, n_classes, row.settings)
            if not recipe.n_parameters(net):
                raise UserError(f"{file}: the net has no parameters to train")
            with torch.no_grad():
                scores = net.eval()(torch.zeros(1, 3, 32, 32))
            recipe.build_training(
                architecture, n_classes, row.settings, row.training, seed=0
            )
    except UserError:
        raise
    except Exception as error:  # a user's file can raise anything
        kind = type(error).__name__
        raise UserError(f"{file}: {kind}: {errors.cause_of(error)}") from None
    unsaved = {name for name, _ in net.named_buffers()} - net.state_dict().keys()
    if unsaved:
        raise UserError(
            f"{file}: {', '.join(sorted(unsaved))}: a buffer with persistent=False is not "
            "saved with the model; remove persistent=False"
        )
    is_tensor = isinstance(scores, torch.Tensor)
    shape = tuple(scores.shape) if is_tensor else None
    if shape != (1, n_classes):
        returned = f"shape {shape}" if is_tensor else f"type {type(scores).__name__}"
        raise UserError(
            f"{file}: for one image, the net returns a result of {returned}; "
            f"it must be a tensor of shape {(1, n_classes)}, one score per class"
        )
