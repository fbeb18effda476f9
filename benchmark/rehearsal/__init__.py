"""The rehearsal of a training run: what refuses a net before any work."""
