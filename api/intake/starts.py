"""Jobs that must begin, or end, by a time, or are called off: a client's own time-outs, for dialects that have them.

Kept in this process: one that is stopped or killed forgets them, and what it had taken on waits for as long as it takes, or until
its client calls it off. A start time-out is exact: a job that a worker has claimed is not touched.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from uuid import UUID

from api.tasks import end
from api.turns.places import Places
from api.turns.walls import Wall
from common.errors import DomainError, Overloaded
from common.telemetry.jobs import ended
from models.db import certain
from models.jobs import cancel, reads
from workers.doorbell import ring

log = logging.getLogger(__name__)

CallOff = Callable[[UUID, UUID], bool]  # of an account and a job

MAX_WATCHED = 10_000  # jobs, per process
MAX_REMEMBERED = 10_000  # that did not begin in time
AGAIN_SECONDS = 1.0  # after which one that could not be called off just now is tried again


class StartTimes:
    """For one event loop."""

    def __init__(self, wall: Wall, places: Places) -> None:
        self._wall, self._places = wall, places
        self._watched: dict[UUID, asyncio.Task[None]] = {}
        self._late: dict[UUID, None] = {}  # oldest first

    def check_room(self) -> None:
        """Before an order is placed with a time-out of its own. Raises Overloaded."""
        if len(self._watched) >= MAX_WATCHED:
            raise Overloaded(
                "too many orders wait with a time-out of their own; send this one again soon, or without one"
            )

    def watch(self, account_id: UUID, job_id: UUID, seconds: float, call_off: CallOff | None = None) -> None:
        """From now on it must begin within so many seconds. Said again of the same job, it changes nothing. `call_off`: what is done
        then instead; it says whether the job was too late, and raises DomainError to be asked again.
        """
        if job_id not in self._watched and job_id not in self._late:
            ending = self._call_off(account_id, job_id, seconds, call_off or _cancel_unbegun)
            self._watched[job_id] = asyncio.create_task(ending)

    def is_late(self, job_id: UUID) -> bool:
        """Whether it was called off here because it had not begun in time."""
        return job_id in self._late

    async def close(self) -> None:
        """Forget all of them."""
        await end(list(self._watched.values()))

    async def _call_off(self, account_id: UUID, job_id: UUID, seconds: float, call_off: CallOff) -> None:
        try:
            while True:
                await asyncio.sleep(seconds)
                if await self._tried(account_id, job_id, call_off):
                    return
                seconds = AGAIN_SECONDS
        finally:
            self._watched.pop(job_id, None)

    async def _tried(self, account_id: UUID, job_id: UUID, call_off: CallOff) -> bool:
        """False: nobody knows yet; to be tried again."""
        work = partial(self._places.ordinary.run, partial(call_off, account_id, job_id))
        try:
            self._late[job_id] = None  # before it is: who waits for its end may look at once
            canceled = await self._wall.run(account_id, work)
        except DomainError as error:
            log.info("job %s could not be called off yet: %s", job_id, error.detail)
            return False
        except Exception:
            log.exception("job %s could not be called off", job_id)
            self._late.pop(job_id, None)
            return True
        if not canceled:
            self._late.pop(job_id, None)
        elif len(self._late) > MAX_REMEMBERED:
            del self._late[next(iter(self._late))]
        return True


def _cancel_unbegun(account_id: UUID, job_id: UUID) -> bool:
    with certain() as conn:
        canceled = cancel.cancel_unbegun(conn, job_id, account_id)
        row = reads.jobs_by_id(conn, [job_id]).get(job_id)
    if canceled is None or row is None:
        return False
    ring(canceled.rings)
    ended(job_id, account_id, "canceled", model=row.model_id)
    return True
