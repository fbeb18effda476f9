"""Whether an architecture's file can be used at all, told in one line before any work."""

import inspect
from typing import Any

import torch
from pydantic import ValidationError, create_model

from benchmark import params
from benchmark.running import errors
from benchmark.running.errors import UserError
from benchmark.training import recipe

# Arguments that are given to an architecture's functions; all others are settings.
GIVEN = {"n_classes", "parameters", "lr", "optimizer", "steps"}


def check_nets(loaded: params.Params, *names: str) -> None:
    """Check the settings of all nets, and that these ones can be made and scored.

    Raises UserError.
    """
    for name in loaded.architectures:
        check_settings(loaded, name)
    for name in names:
        check_net(loaded, name)


def check_settings(loaded: params.Params, name: str) -> None:
    """Hold an entry of params.yaml against the arguments that its file declares."""
    file, entry = file_of(name), loaded.architectures[name]
    where = f"{params.PARAMS}: architectures.{name}"
    with errors.naming(name):
        architecture = recipe.find(name)
    with errors.explained(
        f"{file}: its settings are annotated with something else than int, float or "
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
            f"{where}.sized_by: {entry.sized_by!r}, but {file} takes {takes}: "
            f"write {wanted}"
        )
    given = {key: getattr(loaded.model, key) for key in sizes} | entry.settings
    try:
        schema.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = first["loc"][0]
        said = params.in_words(first, schema)
        if first["type"] == "extra_forbidden":
            own = [key for key in declared if key not in sizes]
            allowed = ", ".join(["sized_by", *own, *params.OVERRIDABLE])
            said = f"{key}: unknown; allowed are {allowed}"
        section = f"{params.PARAMS}: model" if key in sizes else where
        raise UserError(f"{section}.{said}; {file} takes {', '.join(declared)}") from None


def arguments_of(architecture: recipe.Architecture) -> dict[str, Any]:
    """The settings that an architecture's file takes, with their annotations."""
    functions = (
        architecture.net,
        architecture.optimizer,
        architecture.penalty,
        architecture.schedule,
    )
    return {
        each.name: float if each.annotation is each.empty else each.annotation
        for function in functions
        if function is not None
        for each in inspect.signature(function, eval_str=True).parameters.values()
        if each.name not in GIVEN
    }


def check_net(loaded: params.Params, name: str) -> None:
    """Score one image, and make all that training needs. Raises UserError."""
    file, n_classes = file_of(name), len(loaded.data.classes)
    architecture = recipe.find(name)
    settings = recipe.settings_of(loaded, name)
    lr = recipe.training_of(loaded, name).lr
    try:
        with errors.naming(name):
            net = recipe.build_model(architecture, n_classes, settings)
            if not recipe.n_parameters(net):
                raise UserError(f"{file}: the net has no parameters, so none to train")
            with torch.no_grad():
                scores = net.eval()(torch.zeros(1, 3, 32, 32))
            recipe.assemble(architecture, n_classes, settings, lr, seed=0)
    except UserError:
        raise
    except Exception as error:  # whatever such a file may raise
        kind = type(error).__name__
        raise UserError(f"{file}: {kind}: {errors.cause_of(error)}") from None
    unsaved = {name for name, _ in net.named_buffers()} - net.state_dict().keys()
    if unsaved:
        raise UserError(
            f"{file}: {', '.join(sorted(unsaved))}: a buffer that is not persistent, "
            "and so in no saved model; leave persistent=False out"
        )
    shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores)
    if shape != (1, n_classes):
        raise UserError(
            f"{file}: one image gives scores of shape {shape}; "
            f"needed is {(1, n_classes)}, one score a class"
        )


def file_of(name: str) -> str:
    return (params.ARCHITECTURES / f"{name}.py").as_posix()
