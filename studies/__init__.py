"""Studies: each answers a question about the benchmark with a page in docs/."""

import benchmark  # noqa: F401, checks the Python
