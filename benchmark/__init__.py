"""Code that the stages share: params, data, training, statistics, reports."""

import sys
from importlib.util import find_spec

# DVC runs the stages with the first python in PATH, which may be another one.
if not all(map(find_spec, ("dvc", "pandas", "pydantic", "ruamel", "torch"))):
    sys.exit(
        f"error: {sys.executable} does not have the packages of this project; run "
        "`make setup` once, then `source .venv/bin/activate`, and repeat the command"
    )
