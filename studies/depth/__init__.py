"""How deep? Residual nets from 1 to 100 blocks: docs/depth.md."""

from pathlib import Path

FOLDER = Path("docs/depth")
# At half the time of fp32, on the processors that were used.
PRECISION = "bf16"
