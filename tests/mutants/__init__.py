"""Planted bugs, kept: each is one change of a few words that a named test must turn red. `make mutants` runs them all."""
