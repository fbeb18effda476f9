"""Where work runs and how it survives: processes, locks, checkpoints, errors."""
