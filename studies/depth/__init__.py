"""How deep? Residual nets from 1 to 100 blocks: docs/depth.md."""
