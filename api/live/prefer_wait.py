"""`Prefer: wait=N`: an answer that waits for its job's end, without a thread."""

import logging
import re
import time

from starlette.requests import Request

from api.auth.keyring import visitor_of
from api.live.hub import Live, discard_frame
from api.reading import Jobs
from common.errors import DomainError
from common.settings import settings
from models.jobs.reads import JobRow

log = logging.getLogger(__name__)


def preferred_wait(request: Request) -> float:
    """Seconds that a client would wait (RFC 7240), capped; 0 where it says nothing of it."""
    for header in request.headers.getlist("prefer"):
        for preference in header.split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            if name.strip().lower() == "wait" and re.fullmatch('"?[0-9]{1,6}"?', value.strip()):
                return min(float(value.strip().strip('"')), settings().prefer_wait_seconds)
    return 0.0


async def wait_for_end(request: Request, row: JobRow, live: Live, jobs: Jobs) -> tuple[JobRow, dict[str, str]]:
    """The job once it has ended, or as it stands when the client's patience is over. Holds no thread.

    What was ordered is ordered: whatever hinders the waiting (too many streams, a process that stops, a database that is
    away), the job is answered as it is known. To wait is a preference.
    """
    seconds = preferred_wait(request)
    if not seconds:
        return row, {}
    found = await wait_at_most(request, row, seconds, live, jobs)
    return (row, {}) if found is None else (found, {"preference-applied": f"wait={seconds:g}"})


async def wait_at_most(request: Request, row: JobRow, seconds: float, live: Live, jobs: Jobs) -> JobRow | None:
    """The job once it has ended, or as it stands after so long. None: something hinders the waiting."""
    if row.ended:
        return row
    try:
        return await _ended(request, row, live, jobs, seconds)
    except DomainError as error:
        log.info("job %s is not waited for: %s", row.id, error.detail)
    except Exception:
        log.exception("job %s is not waited for", row.id)
    return None


async def _ended(request: Request, row: JobRow, live: Live, jobs: Jobs, seconds: float) -> JobRow:
    who, _ = request.scope["headrace.caller"]
    listener = live.listen(row.account_id, job_id=row.id, visitor=visitor_of(who), quiet=True)
    try:
        end = time.monotonic() + seconds
        await live.catch_up(listener, discard_frame)
        # Attached first and read then: an end between the two is seen by the one or the other.
        row = await jobs.ask(row.id) or row
        if row.ended is None:
            await live.wait_for_end(listener, max(0.0, end - time.monotonic()))
            if listener.over == "revoked":
                return row  # whoever may not look any more sees what they would have seen without waiting
            row = await jobs.ask(row.id) or row
        return row
    finally:
        live.leave(listener)
