"""What dvc.lock says of the data."""

from pathlib import Path

from benchmark import params
from benchmark.running.errors import explained

LOCK = Path("dvc.lock")
STAGES = ("download", "filter")


def md5s() -> dict[str, str]:
    """The MD5 of each file or folder of data. Raises UserError."""
    if not LOCK.exists():
        return {}
    with explained(
        f"{LOCK}: is no dvc.lock; take it from git", AttributeError, KeyError, TypeError
    ):
        stages = (params.read_yaml(LOCK) or {}).get("stages", {})
        return {
            out["path"]: out["md5"]
            for name in STAGES
            for out in stages.get(name, {}).get("outs", [])
        }
