"""How fast is training? docs/speed.md and docs/performance.md."""
