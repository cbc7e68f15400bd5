"""Whether this process can serve, and which of its servers is away. Only the database must be there: without Redis orders are
accepted and the scheduler rings them, without storage they wait for it.
"""

from common.telemetry.health import Dependency, Health, HealthReport
from models.fleet import reaching
from storage.s3 import reach


class Readiness:
    """For one event loop."""

    def __init__(self) -> None:
        self._look = reaching.DatabaseLook()
        self._health = Health(
            reaching.database(self._look),
            reaching.redis(needed=False),
            *reaching.broker(needed=False),
            Dependency("storage", reach, needed=False),
        )

    async def check(self) -> HealthReport:
        """How the servers stand, within a few seconds."""
        return await self._health.found()

    def forget(self) -> None:
        """Look anew, and connect anew, at the next question."""
        self._look.forget()
        self._health.forget()

    def close(self) -> None:
        self._health.close()
        self._look.close()
