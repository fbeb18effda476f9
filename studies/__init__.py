"""Questions about the benchmark, each answered by a page of docs/."""
