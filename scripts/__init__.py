"""Helpers that the Makefile calls; none is a stage."""
