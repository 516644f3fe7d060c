"""Data sources: one row a function."""

INVOKES = {}
