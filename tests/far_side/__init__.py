"""Servers that play the providers' part, in their documented wire formats, well or badly as they are told."""
