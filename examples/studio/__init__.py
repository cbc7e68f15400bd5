"""Millpond, a small web product over Headrace: what a customer of ours would build. `make studio` runs it; docs/studio.md tells of it."""
