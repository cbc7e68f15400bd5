"""Certificates as anybody sees them: a page and a picture."""
