"""Reproduce the notebook, including its defects, with the benchmark's training loop."""

import benchmark  # noqa: F401, checks the Python
