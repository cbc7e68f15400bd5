"""Providers as the tests need them: real HTTP servers, which keep a book of what was asked and misbehave when told."""
