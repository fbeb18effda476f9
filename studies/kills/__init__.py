"""Does a run survive anything? docs/drill.md."""
