"""Processes, clusters, locks, checkpoints, errors. No result depends on this code."""
