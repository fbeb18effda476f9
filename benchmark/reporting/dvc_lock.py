"""Read dvc.lock: the MD5s of the data, and whether a row must train at all."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from benchmark import params
from benchmark.running.errors import explained
from benchmark.running.files import md5

LOCK = Path("dvc.lock")
STAGES = ("download", "filter")
NAME = params.PARAMS.name


def md5s() -> dict[str, str]:
    """Return the MD5 of each data file. Raises UserError if dvc.lock is damaged."""
    with _explained():
        return {
            out["path"]: out["md5"]
            for name in STAGES
            for out in _stages().get(name, {}).get("outs", [])
        }


def is_up_to_date(row: str) -> bool:
    """Return whether the params, code and images of the row's training are those of
    dvc.lock. Then it only trains because its models are missing.
    """
    with _explained():
        stage = _stages().get(f"train@{row}")
        if stage is None:
            return False
        values = _read(params.PARAMS)
        return all(
            _value(values, key) == value for key, value in stage["params"][NAME].items()
        ) and all(_md5(Path(dep["path"])) == dep["md5"] for dep in stage["deps"])


def fits_models(row: str) -> bool:
    """Return whether params.yaml and the net's file are those that the row's models need.

    That is the net, its size, the classes and the normalization; the recipe can be another
    one. True if dvc.lock does not know the row.
    """
    with _explained():
        train, chosen = (_stages().get(name, {}) for name in (f"train@{row}", "filter"))
        images = {out["path"]: out["md5"] for out in chosen.get("outs", [])}
        for dep in train.get("deps", []):
            # Models of other images can be of other classes.
            needed = images.get(dep["path"], dep["md5"])
            if dep["path"].startswith(f"{params.ARCHITECTURES.name}/"):
                needed = _md5(Path(dep["path"]))
            if needed != dep["md5"]:
                return False
        values = _read(params.PARAMS)
        known = {
            key: value
            for stage in (train, chosen)
            for key, value in stage.get("params", {}).get(NAME, {}).items()
        }
        needs = ("data.classes", "data.mean", "data.std", f"rows.{row}", *params.SIZES)
        return all(_value(values, key) == known[key] for key in needs if key in known)


def _explained() -> Any:
    return explained(
        f"{LOCK}: not a DVC lock file; restore it with git",
        AttributeError,
        KeyError,
        TypeError,
    )


def _stages() -> dict[str, Any]:
    return dict(_read(LOCK).get("stages", {})) if LOCK.exists() else {}


def _read(path: Path) -> Any:
    with explained(f"{path}: cannot be read ({{}})", OSError):
        return _parse(path, path.read_bytes())


@cache
def _parse(path: Path, _content: bytes) -> Any:
    """Read a YAML file. Parsing dvc.lock takes a quarter of a second, so only once."""
    return params.read_yaml(path)


def _value(values: Any, key: str) -> Any:
    """Return the value at a key such as rows.res; None if there is none."""
    for step in key.split("."):
        values = values.get(step) if isinstance(values, dict) else None
    return values


def _md5(path: Path) -> str:
    """Return the MD5 that DVC gives a file, or a folder of code."""
    if path.is_file():
        return md5(path.read_bytes())
    files = [
        {"md5": md5(file.read_bytes()), "relpath": file.name}
        for file in sorted(path.glob("*.py"))
    ]
    return md5(json.dumps(files).encode()) + ".dir"
