"""Imports of the command line that wait until they are used.

What a command works with (models, storage, the API's views) takes a second to import, and neither `--help` nor `--version`
uses any of it. Command modules are imported inside `later()`: each module under PARTS is then executed at the first look
into it. So command modules import modules, not names out of them, and quote names of these in annotations; tests/cli/test_later.py
says which one does not. Outside the block, and inside the modules that are executed later, imports are what they always are.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

PARTS = ("api", "cli.backups", "cli.doctor", "cli.embedded", "cli.providers", "httpx", "models", "storage", "workers")


class _Later(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not f"{fullname}.".startswith(tuple(f"{part}." for part in PARTS)):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:  # as of our own packages, which an editable install finds elsewhere
            return None
        spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def later() -> Iterator[None]:
    """Modules under PARTS that are imported in this block are executed when something of them is used."""
    finder = _Later()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def was_used(module: ModuleType) -> bool:
    """Whether anything of a module has been used: one that waits still is of the loader's own type."""
    return type(module) is ModuleType
