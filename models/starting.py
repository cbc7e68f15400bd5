"""What keeps a process from starting is said in one sentence, on standard error, without a trace and without a secret."""

import sys
from collections.abc import Callable

from models.errors import DomainError
from models.settings import WrongSettings, settings


def run(name: str, serve: Callable[[], None]) -> None:
    """Read the settings, then serve. Exits with 1 and a sentence where it cannot be started."""
    try:
        settings()
        serve()
    except (WrongSettings, DomainError) as error:
        sys.exit(f"{name} cannot start: {error}")
