"""A text as it is written, as the events that Replicate's libraries read: `output`, `error`, `done`, each with an id.

One of the libraries takes what any of a dozen characters ends for a line, and forgets what has no name, so each such line has
one of its own. What was sent cannot be taken back: where a text is begun anew, what is the same is not sent again, and one
that becomes another is said to have gone wrong.
"""

import re
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api.dialects.routes import DialectRoute
from api.dialects.told_streams import PING, ToldStream
from api.edge.pace import know
from api.live.frames import read_frames
from api.live.sse import HEADERS
from api.orders.texts import text_of
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.dialects.replicate import BASE, streamed_by
from common.errors import InvalidRequest, NotFound
from models.events.kinds import JOB_TEXT
from models.identity.people import Visitor
from models.jobs import words
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd

router = PrefixRouter(prefix=BASE, route_class=DialectRoute)

LINE_END = re.compile("\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")  # as Python's splitlines has it
DONE = "done"  # the id of the last event
CHANGED = "the text was begun anew and has become another than what was streamed; look at the prediction for it"


def frame(event: str, name: str, data: str) -> bytes:
    """One event. A line of its data for each line of the text, the last one, even if it is empty, among them."""
    lines = "".join(f"data: {line}\n" for line in LINE_END.split(data))
    return f"event: {event}\nid: {name}\n{lines}\n".encode(errors="replace")


class Written:
    """What a reader of a text has been sent, and what to send of what is heard. `known`: so many characters they had before."""

    def __init__(self, known: int = 0) -> None:
        self._known = known
        self._sent = ""
        self._text = ""  # of the newest attempt
        self._changed = False

    def hear(self, position: int, text: str) -> bytes:
        """A piece that was written. One at position 0 begins the text anew, as another attempt does."""
        self._text = self._text[:position] + text
        return self._send(self._text, whole=False)

    def finish(self, text: str | None) -> bytes:
        """The whole, as it is kept; None: it is not."""
        rest = b"" if text is None else self._send(text, whole=True)
        if self._changed or (text is not None and self._sent != text):
            return rest + fail(CHANGED)
        return rest + done()

    def _send(self, text: str, *, whole: bool) -> bytes:
        if not text.startswith(self._sent):
            # What was sent before and comes again is known; what differs from it, is another text.
            self._changed = self._changed or not self._sent.startswith(text)
            return b""
        # The two characters that end one line are not torn: they would end two.
        end = len(text) if whole or not text.endswith("\r") else len(text) - 1
        fresh = text[max(len(self._sent), self._known) : end]
        self._sent = text[:end]
        return frame("output", str(end), fresh) if fresh else b""


def done(reason: str | None = None) -> bytes:
    """The last event."""
    return frame("done", DONE, orjson.dumps({} if reason is None else {"reason": reason}).decode())


def fail(why: str) -> bytes:
    """What is wrong, and the last event: one of the libraries stops at the first, the other at the second."""
    return frame("error", DONE, why) + done("error")


def end_of(row: JobRow, written: Written, text: str | None) -> bytes:
    """How the stream of a job that has ended goes on and ends."""
    if row.ended == JobEnd.SUCCEEDED:
        return written.finish(text)
    if row.ended == JobEnd.CANCELED:
        return done("canceled")
    code, message = words.failure(row.error_code, row.error_message) if row.error_code else ("failed", None)
    return fail(message or code)


class OutputStream(ToldStream):
    """Streams a job's text as it is written. It ends with `done`, or is cut off: then its reader knows that there is more."""

    def __init__(self, request: Request, row: JobRow, written: Written) -> None:
        self._written = written
        super().__init__(request, row, Visitor(row.account_id, None, "user"), reads=True)

    async def _said(self, frames: bytes) -> bytes:
        return b"".join(map(self._in_its_words, read_frames(frames)))

    async def _ended(self, row: JobRow) -> bytes:
        return end_of(row, self._written, await text_of(self._request, row))

    def _in_its_words(self, heard: tuple[str, Any]) -> bytes:
        kind, data = heard
        if kind == JOB_TEXT:
            return self._written.hear(data["position"], data["text"])
        return PING


@router.get("/streams/{token}")
async def stream_prediction(request: Request) -> Response:
    """A text as it is written. Needs no key: the address itself is the secret."""
    job_id = streamed_by(request.path_params["token"])
    here = services(request.app)
    row = None if job_id is None else await here.jobs.ask(job_id)
    if row is None or row.kind != "text":
        raise NotFound("there is no such stream")
    know(request.scope)
    await here.live.let_in(Visitor(row.account_id, None, "user"))
    known = request.headers.get("last-event-id", "")
    if known == DONE and row.ended:
        return Response(status_code=204)  # a browser that connects again asks no more
    if known and known != DONE and not re.fullmatch("[0-9]{1,9}", known):
        raise InvalidRequest("Last-Event-ID must be that of an event of this stream", param="Last-Event-ID")
    written = Written(int(known) if known.isdigit() else 0)
    if row.ended:
        ended = end_of(row, written, await text_of(request, row))
        return Response(ended, headers={name.decode(): value.decode() for name, value in HEADERS})
    return OutputStream(request, row, written)
