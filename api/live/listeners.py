"""Who hears: one stream, and what waits to be written to it. Belongs to the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from uuid import UUID

from api.live.frames import LiveWord, Stand, live_frame
from api.live.narrowing import Hears
from api.live.texts import ReadTo, TextPiece, lacking
from common.settings import settings
from models.events.kinds import JOB_TEXT
from models.identity.people import Visitor

STANDS_MAX = 2000  # jobs of which a listener knows how they stand; more than an account has slots


class Listener:
    """One stream: a bounded queue of frames. `over` says why there will be no more: ended, slow, stopping or revoked."""

    __slots__ = (
        "_limit", "_read_to", "_stands", "_wake", "account_id", "after", "cut", "frames", "hears", "job_id", "over", "quiet", "reads", "visitor",
    )  # fmt: skip

    def __init__(
        self, account_id: UUID, job_id: UUID | None, visitor: Visitor | None, after: int | None, *, quiet: bool,
        reads: bool, hears: Hears | None = None,
    ) -> None:  # fmt: skip
        self.account_id = account_id
        self.visitor = visitor  # who listens, as long as they may; None: the process itself
        self.job_id = job_id  # None: all of the account's events
        self.after = after  # None: from now on
        self.quiet = quiet  # only waits for the end of its job
        self.hears = hears  # of all the account's events; None: all of them
        self.reads = reads  # also its job's text, as it is written
        self._read_to: ReadTo | None = None  # how far
        self._stands: dict[UUID, Stand] = {}  # living jobs, as this listener was told
        self.frames: deque[tuple[bytes, UUID | None, bool]] = deque()  # and of which job; whether it is for everybody
        self.over: str | None = None
        self.cut: Callable[[], object] | None = None  # ends a stream that waits for its reader
        self._limit = settings().listener_backlog
        self._wake: asyncio.Future[None] | None = None

    def push(self, frame: bytes, job_id: UUID | None = None, *, always: bool = False) -> None:
        """Add a frame, of a job (None: of the account) or `always` for who listens; a reader that has let too many pile up is
        cut off, and can resume.
        """
        if self.over or self.quiet:
            return
        if len(self.frames) >= self._limit:
            self.finish("slow")
            return
        self.frames.append((frame, job_id, always))
        self._rouse()

    def hear(self, word: LiveWord) -> None:
        """Push what is only live; how a job stands once, however often it is said, and nothing older than what is known."""
        if word.stand is None or self._is_news(word.job_id, word.stand):
            self.push(word.frame, word.job_id)

    def _is_news(self, job_id: UUID, stand: Stand) -> bool:
        known = self._stands.get(job_id)
        if known is not None and stand.run < known.run:
            return False
        self._stands[job_id] = stand
        if len(self._stands) > STANDS_MAX:
            del self._stands[next(iter(self._stands))]
        return known is None or known != stand._replace(run=known.run)

    def forget(self, job_id: UUID) -> None:
        """The job has ended."""
        self._stands.pop(job_id, None)

    def tell(self, piece: TextPiece) -> bool:
        """Push what the listener lacks of a text. False: something before this piece is missing."""
        assert self.job_id is not None  # noqa: S101 - only who follows a job reads along
        lacked = lacking(self._read_to, piece)
        if lacked is None:
            return False
        if lacked.text:
            self._read_to = ReadTo(lacked.run, lacked.position + len(lacked.text))
            shown = {"attempt": lacked.attempt, "position": lacked.position, "text": lacked.text}
            self.push(live_frame(JOB_TEXT, self.job_id, shown), self.job_id)
        return True

    def finish(self, why: str) -> None:
        """No more frames after those that wait; who may not listen any more does not get these either."""
        if self.over is None:
            self.over = why
            if why == "revoked":
                self.frames.clear()
            self._rouse()
            if why in {"slow", "revoked"} and self.cut is not None:
                self.cut()

    async def take(self) -> bytes:
        """All frames that wait, at least one; empty once the stream is over."""
        while True:
            while not self.frames and self.over is None:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
            waiting = list(self.frames)
            self.frames.clear()
            if self.hears is None or not waiting:
                return b"".join(frame for frame, _, _ in waiting)
            heard = b"".join([frame for frame, job_id, always in waiting if always or await self.hears(job_id)])
            if heard and self.over != "revoked":
                return heard

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
