"""Where a server's program lies that came as a wheel."""

import importlib.util
from pathlib import Path


def package(name: str) -> Path:
    """The folder of an installed package. Raises RuntimeError where it is not installed."""
    spec = importlib.util.find_spec(name)  # not imported: these packages do things when they are
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(
            f"the package {name} is missing: pip install -r requirements-local.txt, or set DATABASE_URL, REDIS_URL "
            "and S3_ENDPOINT_URL to servers of your own"
        )
    return Path(spec.submodule_search_locations[0])
