"""One account's events, on their way to those of its listeners that are attached. Belongs to the event loop."""

from collections.abc import Iterable
from uuid import UUID

from api.live.frames import LiveWord, event_frame, reset_frame
from api.live.listeners import Listener
from common.settings import settings
from models.events.events import StoredEvent
from models.events.kinds import JOB_ENDS

RECENTLY_ENDED_MAX = 500  # per account: what was live of these jobs comes too late
ENDS = frozenset(JOB_ENDS)


class Feed:
    """What an account's listeners hear: stored events in their order, and what is only live behind those that are being read."""

    def __init__(self, account_id: UUID) -> None:
        self.account_id = account_id
        self.number = 0  # of the newest event handed on
        self.listeners: set[Listener] = set()  # all, those that still read for themselves included
        self.attached: dict[UUID | None, set[Listener]] = {}  # by job; None: all events
        self.dirty = False
        self.reading = False
        self.late: list[LiveWord] = []  # they wait for the read under way
        self.ended: dict[UUID, None] = {}

    def attach(self, listener: Listener) -> None:
        if not self.attached:
            self.number = listener.after or 0
        self.attached.setdefault(listener.job_id, set()).add(listener)

    def drop(self, listener: Listener) -> None:
        self.listeners.discard(listener)
        group = self.attached.get(listener.job_id, set())
        group.discard(listener)
        if not group:
            self.attached.pop(listener.job_id, None)

    def hand_on(self, event: StoredEvent) -> None:
        self.number = event.number
        frame = event_frame(event)
        for listener in self._concerned(event.job_id):
            if listener.after is None or event.number > listener.after:
                listener.push(frame, event.job_id)
        if event.type in ENDS and event.job_id is not None:
            for listener in self.attached.get(event.job_id, ()):
                listener.finish("ended")
            for listener in self.listeners:
                listener.forget(event.job_id)
            self.ended[event.job_id] = None
            if len(self.ended) > RECENTLY_ENDED_MAX:
                del self.ended[next(iter(self.ended))]

    def hand_on_live(self, words: Iterable[LiveWord]) -> None:
        """What is only live, behind the events that are being read just now."""
        for word in words:
            if self.reading:
                if len(self.late) < settings().listener_backlog:  # what is only live may be missed
                    self.late.append(word)
            elif word.job_id not in self.ended:
                for listener in self._concerned(word.job_id):
                    listener.hear(word)

    def has_read(self) -> None:
        """The read is over: what waited for it follows."""
        self.reading = False
        late, self.late = self.late, []
        self.hand_on_live(late)

    def reset(self, current: int) -> None:
        self.number = current
        for group in self.attached.values():
            for listener in group:
                listener.push(reset_frame(current), always=True)

    def _concerned(self, job_id: UUID | None) -> list[Listener]:
        concerned = list(self.attached.get(None, ()))
        if job_id is not None:
            concerned.extend(self.attached.get(job_id, ()))
        return concerned
