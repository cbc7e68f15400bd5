"""The release of the client; pyproject.toml says the same, and a test sees to it."""

VERSION = "0.1.0"
