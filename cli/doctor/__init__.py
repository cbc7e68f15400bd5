"""`headrace doctor`: what the system needs, each thing looked at by itself."""

from cli.doctor.checks import examine

__all__ = ["examine"]
