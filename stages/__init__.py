"""The stages of dvc.yaml, one script per stage."""

import benchmark  # noqa: F401, checks the Python
