"""Studies: each answers a question about the benchmark with a page in docs/."""
