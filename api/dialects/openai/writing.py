"""A text as it is written, for streams that can only add to what they have sent."""

from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID

from starlette.requests import Request

from api.auth.keyring import visitor_of
from api.dialects.openai.streams import watch_until_ended
from api.live.frames import read_frames
from api.orders.texts import text_of
from api.services import services
from common.dialects.openai import CountedUsage
from common.errors import DomainError
from models.db import transaction
from models.events.kinds import JOB_TEXT
from models.jobs import reads
from models.jobs.reads import JobRow


class BegunAnew(DomainError):
    """The text was begun anew, and is not the one of which parts were sent."""

    code = "begun_anew"
    status = 502


class SentText:
    """What of a text was sent. A later attempt at it may begin anew: what follows then is sent once it goes on from what was."""

    def __init__(self) -> None:
        self.text = ""
        self._heard = ""

    def hear(self, position: int, piece: str) -> str:
        """What is to be sent now, of a piece of the text that begins after so many characters."""
        goes_on = len(self._heard) == len(self.text) == position
        self._heard = self._heard[:position] + piece
        if not goes_on and not self._heard.startswith(self.text):
            return ""
        new = self._heard[len(self.text) :]
        self.text += new
        return new

    def rest(self, whole: str) -> str:
        """What is still to be sent of the whole text. Raises BegunAnew where something else was sent."""
        if not whole.startswith(self.text):
            raise BegunAnew("the text was begun anew; ask for the whole of it without a stream")
        new = whole[len(self.text) :]
        self.text = whole
        return new


class WrittenText:
    """The text of one job on its way. `row` is the job as it was last seen."""

    def __init__(self, request: Request, row: JobRow) -> None:
        self._request, self.row = request, row
        self._sent = SentText()

    async def parts(self) -> AsyncIterator[str]:
        """Each part as it is written; an empty one says that there is nothing new yet. At the end `row` has ended, but where nobody
        could wait for it. Raises BegunAnew, TooManyListeners, Unavailable.
        """
        async for part in self._live():
            yield part
        async for seen in watch_until_ended(self._request, self.row):
            self.row = seen
            yield ""
        whole = await text_of(self._request, self.row)
        if whole and (rest := self._sent.rest(whole)):
            yield rest

    async def _live(self) -> AsyncIterator[str]:
        if self.row.ended:
            return
        here = services(self._request.app)
        who, _ = self._request.scope["headrace.caller"]
        listener = here.live.listen(
            self.row.account_id, job_id=self.row.id, visitor=visitor_of(who), after=self.row.event_number, reads=True
        )
        missed = list[bytes]()

        async def collect(frame: bytes) -> None:
            missed.append(frame)

        try:
            await here.live.catch_up(listener, collect)
            while frames := await listener.take():
                yield "".join(self._sent.hear(position, text) for position, text in pieces_of(frames))
        finally:
            here.live.leave(listener)
        self.row = await here.jobs.ask(self.row.id) or self.row


def pieces_of(frames: bytes) -> list[tuple[int, str]]:
    """The pieces of a text that are among some frames of a job's events: after how many characters each begins, and what it says."""
    return [(data["position"], data["text"]) for kind, data in read_frames(frames) if kind == JOB_TEXT]


async def usage_of(request: Request, row: JobRow) -> CountedUsage:
    """What a text's provider counted."""
    return await services(request.app).places.ordinary.run(partial(_usage, row.id))


def _usage(job_id: UUID) -> CountedUsage:
    with transaction() as conn:
        return reads.usage(conn, job_id)
