"""What the listeners of this process hear: events read from Postgres once per account and wake, whatever their number.

Everything here belongs to the event loop; only the reads run in a thread. Redis wakes (`api.live.redis_wakes`); without it the
accounts that have listeners are looked at each second, so a lost wake delays and never loses. A look tells too how jobs stand
that have begun, to whoever does not know: it is said on the live channel alone, and no event that is kept says it.

An account's feed hands events on in the order of their numbers. A listener first reads for itself what it has missed;
once it has reached its feed's number it is attached, in the same turn of the loop, so that nothing falls between.

What is past is read by another thread than what has just been written, a few pages at a time, and a job's past by its own
index: who catches up on a million events keeps nobody from hearing the next one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from api.edge.grouping import Grouper
from api.live.feeds import ENDS, Feed
from api.live.frames import begun_word, event_frame, live_word, reset_frame
from api.live.listeners import Listener
from api.live.narrowing import hears_within, job_models_together
from api.live.texts import Texts, piece_of
from common.errors import NotAuthenticated, TooManyListeners, Unavailable
from common.settings import settings
from models.db import transaction
from models.events import events
from models.events.events import Page, StoredEvent
from models.events.kinds import JOB_TEXT
from models.identity import people
from models.identity.people import Visitor
from models.jobs.begun import BegunJob, begun_jobs

log = logging.getLogger(__name__)

PAGE = 500  # events per read and account
PAST_BATCH = 10  # pages of the past that are read at once
LOOK_SECONDS = 1.0  # between looks at Postgres while Redis is away
DOOR_LOOKS = 2  # turns between looks at who may still listen
FOLLOW_LOOKS = 10  # and between words that texts are still followed
SLOW_LOOKS = 5  # and while it is there, every so many: a wake may be lost
HEARTBEAT = b":\n\n"

Wanted = tuple[UUID, int | None]
Past = tuple[UUID, int | None, UUID | None]  # account, after which number, of which job; None: all of the account's


class _Look(NamedTuple):
    """What Postgres has of accounts: the numbers of their newest events, and their jobs that have begun."""

    numbers: dict[UUID, int]
    begun: dict[UUID, list[BegunJob]]


class Live:
    """All listeners of this process."""

    def __init__(self) -> None:
        self._feeds: dict[UUID, Feed] = {}
        self._open = 0  # listeners
        self._reads: Grouper[Wanted, Page] = Grouper(_read_group, name="events")
        self._past: Grouper[Past, Page] = Grouper(_read_past, max_batch=PAST_BATCH, name="past-events")
        self._looks: Grouper[list[UUID], _Look] = Grouper(_look_group, name="event-looks")
        self._models = job_models_together()
        self._doors: Grouper[list[Visitor], set[Visitor]] = Grouper(_still_let_in, name="event-doors")
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.redis_is_there = False
        self.dropped = 0  # things on the live channel that were no word of ours
        self.texts = Texts()
        self.wanted = asyncio.Event()  # set while there are listeners

    def __len__(self) -> int:
        return self._open

    # Listeners come and go

    def listen(
        self, account_id: UUID, *, job_id: UUID | None = None, visitor: Visitor | None = None, after: int | None = None,
        quiet: bool = False, reads: bool = False,
    ) -> Listener:  # fmt: skip
        """A new listener, which then has to `catch_up`, and to `leave`. Raises TooManyListeners."""
        if self._stopping:
            raise Unavailable("this process is stopping; connect again")
        most = settings().listeners_max
        if self._open >= most:
            raise Unavailable(f"this process has {most} streams open, which is the limit; connect again soon")
        feed = self._feeds.get(account_id)
        limit = settings().listeners_per_account
        if feed is not None and len(feed.listeners) >= limit:
            raise TooManyListeners(f"the account has {limit} streams open, which is the limit; close one", limit=limit)
        if feed is None:
            feed = self._feeds[account_id] = Feed(account_id)
        hears = hears_within(visitor.reach, self._models) if visitor and job_id is None else None
        listener = Listener(account_id, job_id, visitor, after, quiet=quiet, reads=reads, hears=hears)
        feed.listeners.add(listener)
        self._open += 1
        self.wanted.set()
        return listener

    async def catch_up(self, listener: Listener, write: Callable[[bytes], Awaitable[object]]) -> None:
        """Write what the listener has missed, and attach it to its feed: from then on `take` has what comes."""
        feed = self._feeds[listener.account_id]
        behind = True
        while listener.over is None:
            caught_up = listener.after is not None and not behind
            if caught_up and (not feed.attached or (listener.after or 0) >= feed.number):
                feed.attach(listener)
                if listener.reads:
                    self._spawn(self._read_along(listener))
                if listener.quiet:
                    self.wake(feed.account_id)  # what was committed since the read, and its wake passed by
                else:
                    self._spawn(self.look([feed.account_id]))  # that, and what was live since
                return
            page = await self.read(listener.account_id, listener.after, job_id=listener.job_id)
            behind = len(page.events) == PAGE
            if page.missing:
                behind = False
                await write(reset_frame(page.current))
            elif page.events:
                await self._write(listener, page.events, write)
            # What follows a job's last event is not the job's: there is nothing to read up to the account's newest.
            reached = page.events and not page.missing and (behind or listener.job_id is None)
            listener.after = page.events[-1].number if reached else page.current

    async def _write(
        self, listener: Listener, missed: Sequence[StoredEvent], write: Callable[[bytes], Awaitable[object]]
    ) -> None:
        if not listener.quiet:
            hears = listener.hears
            heard = [each for each in missed if hears is None or await hears(each.job_id)]
            await write(b"".join(map(event_frame, heard)))
        if listener.job_id is not None and any(event.type in ENDS for event in missed):
            listener.finish("ended")

    def leave(self, listener: Listener) -> None:
        """Let a listener go."""
        feed = self._feeds.get(listener.account_id)
        if feed is not None and listener in feed.listeners:
            self._open -= 1
            feed.drop(listener)
            if not feed.listeners:
                del self._feeds[listener.account_id]
                if not self._feeds:
                    self.wanted.clear()

    async def read(self, account_id: UUID, after: int | None, *, job_id: UUID | None = None) -> Page:
        """What is past: an account's events after a number, or those of one of its jobs, at most PAGE."""
        return await self._past.ask((account_id, after, job_id))

    # What wakes

    def wake(self, account_id: UUID) -> None:
        """There are events of this account to read."""
        feed = self._feeds.get(account_id)
        if feed is None or not feed.attached:
            return
        feed.dirty = True
        if not feed.reading:
            feed.reading = True
            self._spawn(self._follow(feed))

    def wake_all(self) -> None:
        """Look for every listener: nobody knows what was written and said meanwhile."""
        self._spawn(self.look(list(self._feeds)))

    def hear(self, account_id: UUID, kind: str, job_id: UUID, data: dict[str, Any]) -> None:
        """Something live, which is not kept: it goes on behind the events that are being read."""
        feed = self._feeds.get(account_id)
        if feed is None or not feed.attached:
            return
        if kind == JOB_TEXT:
            self._hear_text(feed, job_id, data)
            return
        feed.hand_on_live([live_word(kind, job_id, data)])

    def _hear_text(self, feed: Feed, job_id: UUID, data: dict[str, Any]) -> None:
        """A piece of a text, to those alone who follow its job."""
        piece = piece_of(data)
        if piece is None:
            return
        for listener in feed.attached.get(job_id, ()):
            if listener.reads and not listener.tell(piece):
                self._spawn(self._read_along(listener))

    async def _read_along(self, listener: Listener) -> None:
        """Say that the text is followed, and hand on what there is of it: to who comes in the middle, or has missed a piece."""
        assert listener.job_id is not None  # noqa: S101 - only who follows a job reads along
        piece = await self.texts.follow(listener.job_id)
        if piece is not None:
            listener.tell(piece)

    async def _follow(self, feed: Feed) -> None:
        try:
            while feed.dirty and feed.attached:
                feed.dirty = False
                page = await self._reads.ask((feed.account_id, feed.number))
                if page.missing and page.current != feed.number:
                    feed.reset(page.current)
                    continue
                for event in page.events:
                    if event.number > feed.number:
                        feed.hand_on(event)
                feed.dirty = feed.dirty or len(page.events) == PAGE
        except Exception as error:  # noqa: BLE001 - the next look at Postgres finds what is missing
            log.warning("events could not be read, trying again soon: %s", error)
        finally:
            feed.has_read()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What runs all the time

    async def run(self) -> None:
        """Look at Postgres, and send heartbeats, until cancelled. Both cost nothing while nobody listens."""
        turn = 0
        beats = max(1, round(settings().heartbeat_seconds / LOOK_SECONDS))
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            turn += 1
            if not self._feeds:
                continue
            self._beat(turn % beats, beats)
            if turn % FOLLOW_LOOKS == 0:
                self._spawn(self.texts.go_on([each.job_id for each in self._all() if each.reads and each.job_id]))
            if turn % DOOR_LOOKS == 0:
                self._spawn(self.look_at_doors())
            if not self.redis_is_there or turn % SLOW_LOOKS == 0:
                await self.look(list(self._feeds))

    def _beat(self, turn: int, beats: int) -> None:
        # A part of the listeners at each turn: all at once would hold up the loop, and with it everybody's events.
        for feed in self._feeds.values():
            for listener in feed.listeners:
                if id(listener) // 16 % beats == turn and not listener.frames:
                    listener.push(HEARTBEAT, always=True)

    async def look(self, account_ids: list[UUID]) -> None:
        """Ask Postgres which of these accounts have newer events, and how their jobs stand that have begun."""
        try:
            found = await self._looks.ask(account_ids)
        except Exception as error:  # noqa: BLE001 - looked at again in a second
            log.warning("could not look for events, trying again soon: %s", error)
            return
        for account_id, number in found.numbers.items():
            feed = self._feeds.get(account_id)
            if feed is not None and feed.attached:
                if number != feed.number:
                    self.wake(account_id)
                feed.hand_on_live(map(begun_word, found.begun.get(account_id, ())))

    async def look_at_doors(self) -> None:
        """Ask Postgres, in one query, who of those that listen would still be let in, and end the streams of the others."""
        inside = {each.visitor for each in self._all() if each.visitor}
        try:
            welcome = await self._doors.ask(list(inside))
        except Exception as error:  # noqa: BLE001 - looked at again in two seconds
            log.warning("could not look who may listen, trying again soon: %s", error)
            return
        strangers = inside - welcome
        for listener in self._all():
            if listener.visitor in strangers:
                listener.finish("revoked")

    async def let_in(self, visitor: Visitor) -> None:
        """What a token says, or this process remembers, may be seconds old. Raises NotAuthenticated."""
        if not await self._doors.ask([visitor]):
            raise NotAuthenticated("the key or the user of this stream may not listen any more")

    @property
    def is_stopping(self) -> bool:
        """Whether this process is about to end: nobody may wait in it any more."""
        return self._stopping

    def stop(self) -> None:
        """End all streams, so that the process can: their clients connect to another one and resume."""
        self._stopping = True
        for listener in self._all():
            listener.finish("stopping")

    def _all(self) -> Iterator[Listener]:
        return (listener for feed in self._feeds.values() for listener in feed.listeners)

    def close(self) -> None:
        self._reads.close()
        self._past.close()
        self._looks.close()
        self._doors.close()
        self._models.close()

    # Waiting for one job

    async def wait_for_end(self, listener: Listener, seconds: float) -> None:
        """Wait until the job of a quiet listener has ended, or the time is over."""
        try:
            await asyncio.wait_for(listener.take(), seconds)
        except TimeoutError:
            return


async def discard_frame(_frame: bytes) -> None:
    """Where a quiet listener writes."""


def _read_group(wanted: Sequence[Wanted]) -> list[Page]:
    with transaction() as conn:
        return events.after(conn, wanted, PAGE)


def _read_past(wanted: Sequence[Past]) -> list[Page]:
    with transaction() as conn:
        of_all = events.after(conn, [(account, number) for account, number, job in wanted if job is None], PAGE)
        of_jobs = events.of_jobs(conn, [(account, number, job) for account, number, job in wanted if job], PAGE)
    all_, jobs = iter(of_all), iter(of_jobs)
    return [next(all_ if job is None else jobs) for _, _, job in wanted]


def _look_group(wanted: Sequence[list[UUID]]) -> list[_Look]:
    accounts = list({account_id for each in wanted for account_id in each})
    with transaction() as conn:
        begun = begun_jobs(conn, accounts)
        numbers = events.numbers(conn, accounts)  # after the jobs: whatever made them begin is known by these
    return [_Look({each: numbers[each] for each in asked if each in numbers}, begun) for asked in wanted]


def _still_let_in(wanted: Sequence[list[Visitor]]) -> list[set[Visitor]]:
    everybody = list({visitor for each in wanted for visitor in each})
    with transaction() as conn:
        welcome = people.still_let_in(conn, everybody)
    return [welcome.intersection(each) for each in wanted]
