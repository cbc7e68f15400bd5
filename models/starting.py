"""What keeps a process from starting is said in one sentence, on standard error, without a trace and without a secret."""

import logging
import sys
from collections.abc import Callable

from common import logs
from common.errors import DatabaseAway, DomainError
from common.settings import WrongSettings, settings
from models import db

log = logging.getLogger(__name__)


def run(name: str, serve: Callable[[], None], *, waits: bool = True) -> None:
    """Read the settings, then serve. Exits with 1 and a sentence where that cannot be.

    `waits`: a database that is away is told of, and waited for; otherwise it ends the process, whose supervisor starts
    it again.
    """
    logs.install()
    try:
        settings()
        try:
            db.reach()
        except DatabaseAway as error:
            if not waits:
                raise
            log.error("%s waits: %s", name, error)  # noqa: TRY400 - expected, and it says why
        serve()
    except (WrongSettings, DomainError) as error:
        sys.exit(f"{name} cannot start: {error}")
