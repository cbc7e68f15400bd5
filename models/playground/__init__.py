"""Texts that are kept: what playgrounds and summaries are made of."""
