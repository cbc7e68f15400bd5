"""The border of our process as the sweep sees it: each call that leaves is numbered, and one of them can be made to fail.

The hooks (hooks_*.py) sit in the libraries, never in our own functions. Each asks `cross` before it lets a call through,
and carries out the way to fail that it is told.
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

REAL_SLEEP = time.sleep
LATE_SECONDS = 0.05  # how long after its sender's error a statement, or a COMMIT, takes effect after all
# Threads that are not a step of anybody's: what is said live, and a pool's own connections.
BACKGROUND = ("publisher", "headrace-", "resolver")

# Every way to fail. The first four are the issue's; the others are variations of a call's own.
FOUR = ("fail", "lost", "hang", "kill")
MORE = ("late", "lock", "readonly", "refused", "limited", "missing", "cut", "dropped", "damaged")
WAYS = (*FOUR, *MORE)


class Killed(BaseException):
    """Our process was killed: nothing catches this but the driver."""


class Diverged(Exception):
    """The call to fail is not the one that was recorded under its number."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that left our process: by whom, of what sort, which, and how it can fail."""

    process: str
    sort: str  # sql, commit, provider, web, s3, redis or file
    name: str
    ways: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong: the number of the call, from 0, and how."""

    call: int
    way: str


@dataclass
class Boundary:
    """One process's border. Only what happens inside a step is counted, and only faults that are planned happen."""

    calls: list[Call] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)
    expected: Sequence[Call] | None = None
    happened: list[tuple[int, str, Call]] = field(default_factory=list)
    process: str | None = None  # whose step it is; None: nobody's, nothing is counted
    dead: bool = False
    diverged: str | None = None
    in_hand: bool = False  # the answer to a generation's start is known, and not written down yet
    excused: bool = False  # a fault fell into a window in which an answer may be lost (border.md, section 5)
    held: list[Callable[[], object]] = field(default_factory=list)  # requests that arrive when their sender has gone
    at_start: Callable[[], object] | None = None  # done at a generation's start, while the worker waits for the answer
    folders: set[str] = field(default_factory=set)  # of the bucket, into which something was put
    _lates: list[threading.Thread] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _quiet: set[int] = field(default_factory=set)
    _wrote: bool = False

    def begin(self, faults: Collection[Fault] = (), expected: Sequence[Call] | None = None) -> None:
        """Forget the run before."""
        self.calls, self.happened, self.faults = [], [], {each.call: each.way for each in faults}
        self.expected, self.process, self.dead, self.diverged = expected, None, False, None
        self.in_hand = self.excused = self._wrote = False
        self.held, self._lates, self.at_start, self.folders = [], [], None, set()

    @contextmanager
    def step(self, process: str) -> Iterator[None]:
        """What is done inside is this process's. It is alive again afterwards: another one has been started."""
        self.process, self.dead = process, False
        try:
            yield
        finally:
            self.process, self.dead, self.in_hand = None, False, False

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """What this thread does inside is the driver's own."""
        me = threading.get_ident()
        before = me in self._quiet
        self._quiet.add(me)
        try:
            yield
        finally:
            if not before:
                self._quiet.discard(me)

    def cross(self, sort: str, name: str, ways: tuple[str, ...]) -> str | None:
        """How this call is to fail; None: not at all. `kill` also for every call of a process that is dead."""
        if self.process is None or threading.get_ident() in self._quiet:
            return None
        if threading.current_thread().name.startswith(BACKGROUND):
            return None
        with self._lock:
            if self.dead:
                return "kill"
            number, call = len(self.calls), Call(self.process, sort, name, ways)
            self.calls.append(call)
            way = self.faults.pop(number, None)
            if way is None:
                return None
            self._check(number, call)
            if self.diverged or way not in ways:
                return None
            self.happened.append((number, way, call))
            self.dead = way == "kill"
            if way == "kill" and self.in_hand:
                self.excused = True
            return way

    def _check(self, number: int, call: Call) -> None:
        if self.expected is None:
            return
        before = self.expected[number] if number < len(self.expected) else None
        if before is None or before != call:
            self.diverged = f"call {number} was {before}, now it is {call}"

    def missed(self) -> str | None:
        """Why a run cannot be judged: it went another way than the recorded one, or ended before its fault. None: it can."""
        if self.diverged is None and self.faults and not self.happened:
            return f"there was no such call; the run made {len(self.calls)}"
        return self.diverged

    def killed(self, ordinary: Exception) -> BaseException:
        """What a killed process's call raises. In the API a request waits for other threads' answers, which must come:
        there it is an ordinary error, and as every further call fails too, what becomes of it changes nothing.
        """
        return ordinary if self.process == "api" else Killed()

    # What is known of the answer

    def starting(self, way: str | None) -> None:
        """A generation's start is sent, or fails so."""
        if way in {"lost", "hang", "late", "cut", "kill"}:
            self.excused = True
        if way is None and self.process is not None:
            self.in_hand = True
        elif way is not None and way != "kill":
            self.answered()

    def answered(self) -> None:
        """A start's answer has come, or none will; what happens elsewhere at this moment is nobody's step."""
        then, self.at_start = self.at_start, None
        if then is not None:
            before, self.process = self.process, None
            then()
            self.process = before

    def wrote(self, text: str, *, committed: bool) -> None:
        """A statement was done; once one that tells of an attempt is committed, the answer is not only in our hands."""
        if FACT.search(text) and WRITING.search(text):
            self._wrote = True
        if committed and self._wrote:
            self.in_hand = self._wrote = False

    # What happens later

    def later(self, act: Callable[[], object]) -> None:
        """Do something a moment after now, whatever becomes of its sender."""

        def wait() -> None:
            REAL_SLEEP(LATE_SECONDS)
            with self.unseen():
                act()

        thread = threading.Thread(target=wait, name="late")
        self._lates.append(thread)
        thread.start()

    def hold(self, act: Callable[[], object]) -> None:
        """Keep something back until the driver lets it arrive."""
        self.held.append(act)

    def arrive(self) -> None:
        """Let what was kept back arrive."""
        held, self.held = self.held, []
        for each in held:
            with self.unseen(), contextlib.suppress(Exception):  # there is nobody whom its answer reaches
                each()

    def join(self) -> None:
        """Wait for what happens later."""
        lates, self._lates = self._lates, []
        for each in lates:
            each.join()


WRITING = re.compile(r"\b(insert|update|delete|end_job_v\d+)\b", re.IGNORECASE)
FACT = re.compile(r"\b(attempts|end_job_v\d+)\b", re.IGNORECASE)
