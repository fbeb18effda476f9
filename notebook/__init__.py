"""Reproduce the notebook, including its defects, with the benchmark's training loop."""
