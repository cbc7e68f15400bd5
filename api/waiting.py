"""`Prefer: wait=N`: an answer that waits for its job's end, without a thread."""

import re
import time

from starlette.requests import Request

from api.live import Live, nowhere
from models.errors import TooManyListeners
from models.reading import JobRow
from models.settings import settings


def preferred_wait(request: Request) -> float:
    """Seconds that a client would wait (RFC 7240), capped; 0 where it says nothing of it."""
    for header in request.headers.getlist("prefer"):
        for preference in header.split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            if name.strip().lower() == "wait" and re.fullmatch('"?[0-9]{1,6}"?', value.strip()):
                return min(float(value.strip().strip('"')), settings().prefer_wait_seconds)
    return 0.0


async def waited(request: Request, row: JobRow) -> tuple[JobRow, dict[str, str]]:
    """The job once it has ended, or as it stands when the client's patience is over. Holds no thread.

    An account with too many streams open is answered at once: to wait is a preference.
    """
    seconds = preferred_wait(request)
    if not seconds:
        return row, {}
    headers = {"preference-applied": f"wait={seconds:g}"}
    if row.ended:
        return row, headers
    live: Live = request.app.state.live
    try:
        listener = live.listen(row.account_id, job_id=row.id, quiet=True)
    except TooManyListeners:
        return row, {}
    try:
        end = time.monotonic() + seconds
        await live.catch_up(listener, nowhere)
        # Attached first and read then: an end between the two is seen by the one or the other.
        row = await request.app.state.reads.ask(row.id) or row
        if row.ended is None:
            await live.ended(listener, max(0.0, end - time.monotonic()))
            row = await request.app.state.reads.ask(row.id) or row
    finally:
        live.leave(listener)
    return row, headers
