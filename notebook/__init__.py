"""The notebook as it was printed: its defects, repeated by what the one loop is given."""
