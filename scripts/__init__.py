"""Commands of the Makefile that are not stages."""

import benchmark  # noqa: F401, checks the Python
