"""Does a run survive being killed? docs/kill_test.md."""
