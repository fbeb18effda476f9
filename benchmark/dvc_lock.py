"""What dvc.lock says of the data."""

from pathlib import Path

from benchmark import errors, params

LOCK = Path("dvc.lock")
STAGES = ("download", "filter")


def md5s() -> dict[str, str]:
    """The MD5 of each file or folder of data. Raises UserError."""
    if not LOCK.exists():
        return {}
    try:
        stages = (params.read_yaml(LOCK) or {}).get("stages", {})
        return {
            out["path"]: out["md5"]
            for name in STAGES
            for out in stages.get(name, {}).get("outs", [])
        }
    except (AttributeError, KeyError, TypeError):
        raise errors.UserError(f"{LOCK}: is no dvc.lock; take it from git") from None
