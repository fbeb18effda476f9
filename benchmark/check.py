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


def check_nets(loaded: params.Params, *names: str) -> None:
    """Check the settings of all nets, then build and score the named ones.

    Raises UserError if something is wrong.
    """
    for name in loaded.architectures:
        check_settings(loaded, name)
    for name in names:
        check_net(loaded, name)


def check_settings(loaded: params.Params, name: str) -> None:
    """Compare a net's entry in params.yaml with the arguments that its file declares."""
    file, entry = file_of(name), loaded.architectures[name]
    where = f"{params.PARAMS}: architectures.{name}"
    with errors.blame_architecture(name):
        architecture = recipe.load_architecture(name)
    with errors.explained(
        f"{file}: annotate every setting as int, float or "
        "Annotated[int or float, Interval(…)] ({})",
        Exception,
    ):
        declared = arguments_of(architecture)
        fields: dict[str, Any] = {key: (kind, ...) for key, kind in declared.items()}
        config = params.Section.model_config
        schema = create_model("Settings", __config__=config, **fields)
    sizes = [key for key in params.Model.model_fields if key in declared]
    wanted = {(): "data.classes", ("n_chans",): "model.n_chans"}.get(tuple(sizes), "model")
    if entry.sized_by != wanted:
        takes = " and ".join(sizes) or "neither n_chans nor n_blocks"
        raise UserError(
            f"{where}.sized_by: {entry.sized_by!r}, but {file} takes {takes}; "
            f"write {wanted}"
        )
    settings = {key: getattr(loaded.model, key) for key in sizes} | entry.settings
    try:
        schema.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = first["loc"][0]
        problem = params.explain(first, schema)
        if first["type"] == "extra_forbidden":
            own = [key for key in declared if key not in sizes]
            allowed = ", ".join(["sized_by", *own, *params.OVERRIDABLE])
            problem = f"{key}: unknown; the allowed keys are {allowed}"
        section = f"{params.PARAMS}: model" if key in sizes else where
        raise UserError(
            f"{section}.{problem}; {file} takes {', '.join(declared)}"
        ) from None


def arguments_of(architecture: recipe.Architecture) -> dict[str, Any]:
    """Return the settings that an architecture's file takes, with their types.

    An argument without an annotation counts as float.
    """
    functions = (
        architecture.net,
        architecture.optimizer,
        architecture.penalty,
        architecture.schedule,
    )
    return {
        argument.name: float
        if argument.annotation is argument.empty
        else argument.annotation
        for function in functions
        if function is not None
        for argument in inspect.signature(function, eval_str=True).parameters.values()
        if argument.name not in PASSED
    }


def check_net(loaded: params.Params, name: str) -> None:
    """Build everything that training needs, and score one image. Raises UserError."""
    file, n_classes = file_of(name), len(loaded.data.classes)
    architecture = recipe.load_architecture(name)
    settings = recipe.settings_of(loaded, name)
    lr = recipe.training_of(loaded, name).lr
    try:
        with errors.blame_architecture(name):
            net = recipe.build_model(architecture, n_classes, settings)
            if not recipe.n_parameters(net):
                raise UserError(f"{file}: the net has no parameters to train")
            with torch.no_grad():
                scores = net.eval()(torch.zeros(1, 3, 32, 32))
            recipe.build_training(architecture, n_classes, settings, lr, seed=0)
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


def file_of(name: str) -> str:
    return (params.ARCHITECTURES / f"{name}.py").as_posix()
