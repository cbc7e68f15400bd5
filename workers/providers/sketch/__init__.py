"""The provider that is built in and needs nothing: it draws pictures, films them, and speaks."""

from workers.providers.sketch.provider import Sketch

__all__ = ["Sketch"]
