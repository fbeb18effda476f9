"""Read the MD5s of the data from dvc.lock."""

from pathlib import Path

from benchmark import params
from benchmark.running.errors import explained

LOCK = Path("dvc.lock")
STAGES = ("download", "filter")


def md5s() -> dict[str, str]:
    """Return the MD5 of each data file. Raises UserError if dvc.lock is damaged."""
    if not LOCK.exists():
        return {}
    with explained(
        f"{LOCK}: not a DVC lock file; restore it with git",
        AttributeError,
        KeyError,
        TypeError,
    ):
        stages = (params.read_yaml(LOCK) or {}).get("stages", {})
        return {
            out["path"]: out["md5"]
            for name in STAGES
            for out in stages.get(name, {}).get("outs", [])
        }
