"""The data: what download and filter need."""
