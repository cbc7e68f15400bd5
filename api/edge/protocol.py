"""HTTP/1.1 as it comes from strangers: counted and bounded before anything of it is kept, and given up after a while.

Uvicorn's protocol reads what comes: a head without end, trailers, thousands of requests in one packet, and waits for ever
for what does not come. This one hands the parser a little at a time, so that

- a head, a body's framing and trailers have a largest size, counted before their names are known;
- requests behind one that is not answered yet stay bytes: of them the parser sees one small slice;
- no connection has the loop for longer than one slice of work;
- a head, a body and a pause have an end in time; so has a peer that takes nothing of its answer.

What waits for an answer of ours (`Prefer: wait`, a stream of events, a turn) is not idle, and has no end here.
"""

import math
import random
from contextlib import suppress
from functools import partial
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_remote_addr

from api.edge.door import CROWDED, DOOR, Door
from api.edge.faults import (
    AFTER_CLOSE,
    FAST,
    FRAMING,
    INVALID,
    LARGE_BODY,
    LARGE_HEAD,
    MANY_HEADERS,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_PIPELINED,
    PIPELINED,
    SLOW_BODY,
    SLOW_HEAD,
    Refusal,
    Stop,
)
from api.edge.flow import ABORT, CLOSING, Flow, Together, give_up_cut_lines
from api.edge.pace import HOLD_SECONDS, KNOWN, MAX_HELD, PACE
from api.edge.request_limits import FORM_BYTES, written_refusal
from api.edge.turns import Stage, Turn, proxied_peer
from common.peers import peer_of, plain
from common.settings import settings

SLICE_BYTES = 1024  # handed to the parser at once, where it may hold more than one request
TURN_BYTES = 65_536  # of one connection, before the others have their turn
MAX_FRAMING_BYTES = 16_384  # between two pieces of a body: sizes, extensions, trailers
FREE_CHUNKS = 1024  # of a body, however small they are; more must hold 64 bytes on average
CHUNK_BYTES = 64
BODY_BYTES_PER_SECOND = 4096  # slower bodies are given up, once `body_seconds` are over
LINGER_SECONDS = 2.0  # in which who was refused may read why
LINGER_BYTES = 1_048_576
CONNECTION_COST, SLICE_COST, FAULT_COST = 0.25, 1.0, 25.0  # of a stranger's, in what a request costs (`api.edge.pace`)
PROXIED_COST = 3.0  # of a stranger's request, with the connection that its proxy opens for it
GRACE_SECONDS = 2.0  # streams notice by themselves that nobody reads them, and say so


class Protocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: Any) -> None:
        config = settings()
        self._door: Door = cast(Any, self.server_state).door
        self._head_seconds, self._body_seconds = config.header_seconds, config.body_seconds
        self._idle_seconds, self._slow_seconds = config.idle_seconds, config.slow_reader_seconds + GRACE_SECONDS
        self._most_body = max(config.max_upload_bytes + FORM_BYTES, config.max_batch_bytes, config.max_body_bytes)
        self._stage = Stage.RESTING
        self._rest: memoryview[int] = memoryview(b"")  # received, and not yet parsed
        self._head_bytes = self._framing_bytes = self._body_bytes = self._left_bytes = self._chunks = 0
        self._deadline, self._body_begun, self._closing_since = math.inf, 0.0, math.inf
        self._fault: Refusal | None = None
        self._active: RequestResponseCycle | None = None  # the one that is being answered
        self._turn = Turn(self.loop, self._door.pace)
        address = get_remote_addr(transport)
        host = plain(address[0]) if address else "unknown"
        refused = self._door.enter(self, host)
        if refused is not None:
            self.transport = transport
            self._stage = Stage.OVER
            status, code = (429, "too_many_connections") if refused == CROWDED else (503, "overloaded")
            transport.write(written_refusal(status, code, refused, retry_after=5))
            transport.close()  # at once: who is refused must not cost a descriptor
            return
        super().connection_made(transport)
        self.client = (host, address[1]) if address else None
        self.flow: Flow = Flow(transport, self.is_behind, self.loop.time)
        self._is_proxied = self._door.is_proxy(host)
        self._peer, self._is_known, self._charged, self._paced_until = peer_of(host), self._is_proxied, 0.0, 0.0
        self._deadline = self.loop.time() + self._head_seconds  # a connection is opened to ask something
        give_up_cut_lines(transport)
        self._charge(CONNECTION_COST)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave(self)
        self._turn.stop()
        # Uvicorn tells only the newest request; those before it would be answered for ever.
        for cycle in (self._active, *(queued for queued, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        self._rest = memoryview(b"")
        self._stage = Stage.OVER
        super().connection_lost(exc)
        # What points here from there goes now: a thousand of these that wait for the collector stop everybody for 30 ms.
        self.parser = self._active = self.cycle = None  # type: ignore[assignment]  # never None while connected

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._stage is Stage.OVER:
            self._left_bytes += len(data)
            if self._left_bytes > LINGER_BYTES:
                self.transport.abort()
        elif self._stage is not Stage.DEAF:
            self._rest = memoryview(bytes(self._rest) + data) if self._rest else memoryview(data)
            if self.is_paced():  # uvloop begins to read after `connection_made`, whatever was said there
                self.transport.pause_reading()
            self._read_on()

    def is_behind(self) -> bool:
        """Whether bytes or requests wait here already, or strangers at this address have cost too much, so that no more
        are read."""
        return bool(self._rest or self.pipeline) or self.is_paced()

    def _read_on(self) -> None:
        """Parse what is here: for one turn, and not past a request that must wait for another's answer."""
        if self.is_paced() and self._stage < Stage.DEAF:
            return
        turn, slices = TURN_BYTES, 0
        while self._rest and turn > 0 and not self.pipeline and self._stage < Stage.DEAF:
            size = min(max(SLICE_BYTES, self._left_bytes), turn) if self._stage is Stage.BODY else SLICE_BYTES
            piece, self._rest = self._rest[:size], self._rest[size:]
            turn, slices = turn - len(piece), slices + 1
            fault = self._parsed(piece)
            if fault is not None:
                self._refuse(fault)
        self._charge(SLICE_COST * slices)
        if self._stage >= Stage.DEAF:
            self._rest = memoryview(b"")
        if self.transport.is_closing():
            return
        if self._rest:
            self.flow.pause_reading()
            if not self.pipeline and not self.is_paced():
                self.loop.call_soon(self._read_on)  # others first
        elif not self.pipeline and not self._is_full():
            self.flow.resume_reading()

    def is_paced(self) -> bool:
        """Whether what comes is not looked at before its time: strangers at this address have cost too much just now."""
        return self._paced_until > 0

    def _charge(self, cost: float) -> None:
        """Count what a stranger's connection costs; beyond its address's pace it waits, unread."""
        self._note_who()
        if self._is_known:
            return
        self._charged += self._door.pace.charge(self._peer, cost)
        wait = self._door.pace.wait_of(self._peer)
        if wait and self._stage < Stage.DEAF and not self.is_paced():
            self._paced_until = self.loop.time() + wait
            self.flow.pause_reading()
            self.loop.call_at(self._paced_until, self._go_on)

    def _note_who(self) -> None:
        """From a request of somebody known on, nothing is counted."""
        if not self._is_known and self._active is not None and KNOWN in self._active.scope:
            self._is_known = True
            self._door.pace.forgive(self._peer, self._charged)

    def _go_on(self) -> None:
        self._paced_until = 0.0
        if not self.transport.is_closing():
            self._read_on()

    def _is_full(self) -> bool:
        """Whether a body waits for the application to take it."""
        return self.cycle is not None and not self.cycle.response_complete and len(self.cycle.body) > HIGH_WATER_LIMIT

    def _parsed(self, piece: "memoryview[int]") -> Refusal | None:
        """Hand a piece to the parser. Returns what is wrong with it."""
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            # We speak nothing else, and what follows is not ours to read: it would be taken for another request.
            self.cycle.keep_alive = False
            self._stage = Stage.DEAF
            return None
        except httptools.HttpParserError:
            return self._fault or INVALID
        if self._stage is Stage.HEAD:
            self._head_bytes += len(piece)
            if self._head_bytes > MAX_HEAD_BYTES:
                return LARGE_HEAD
        elif self._stage is Stage.BODY:
            self._framing_bytes += len(piece)
            if self._framing_bytes > MAX_FRAMING_BYTES:
                return FRAMING
        return None

    def _stop(self, fault: Refusal) -> Stop:
        self._fault = fault
        return Stop(fault.detail)

    # What the parser finds

    def on_message_begin(self) -> None:
        if self.cycle is not None and not self.cycle.keep_alive:
            raise self._stop(AFTER_CLOSE)
        if len(self.pipeline) >= MAX_PIPELINED:
            raise self._stop(PIPELINED)
        super().on_message_begin()
        self._stage, self._head_bytes = Stage.HEAD, 0
        self._deadline = self.loop.time() + self._head_seconds
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # keys of our own besides ASGI's
        scope[ABORT], scope[CLOSING] = self.transport.abort, self.transport.is_closing
        scope[PACE] = self._door.pace
        if self._is_proxied:
            scope[DOOR] = self._door

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage is not Stage.HEAD:
            return  # a trailer: nobody asks for one, and it would pass for a header
        if len(self.headers) >= MAX_HEADERS:
            raise self._stop(MANY_HEADERS)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle.scope["method"] != "HEAD":  # whose answer has no body to wait for
            self.cycle.transport = cast(Any, Together(self.transport, self.loop))
        self._door.works(self)
        self._stage = Stage.BODY
        self._body_begun = self.loop.time()
        self._body_bytes = self._framing_bytes = self._chunks = 0
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        self._left_bytes = int(length) if length.isdigit() and len(length) < 19 else 0

    def on_chunk_header(self) -> None:
        self._chunks += 1
        if self._chunks > FREE_CHUNKS + self._body_bytes // CHUNK_BYTES:
            raise self._stop(FRAMING)

    def on_body(self, body: bytes) -> None:
        size = len(body)
        self._body_bytes += size
        self._left_bytes -= size
        self._framing_bytes = -size  # the piece that this came in is added when it is done
        if self._body_bytes > self._most_body:
            raise self._stop(LARGE_BODY)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._stage, self._left_bytes, self._deadline = Stage.DONE, 0, math.inf
        self._settle()

    # Answering

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """A stranger's request begins when its turn has come: until then it costs no task."""
        self._active = cycle
        scope: dict[str, Any] = cycle.scope  # type: ignore[assignment]  # a TypedDict, to which we add
        peer = (proxied_peer(self.app, scope) if self._is_proxied else None) or self._peer
        wait = self._door.pace.turn_of(scope, peer, PROXIED_COST if self._is_proxied else 1.0)
        if not wait:
            super()._start_asgi_task(cycle, app)
        elif wait == math.inf:
            hold = HOLD_SECONDS if self._door.pace.waiting.total() < MAX_HELD else 0.0
            # A thousand that came together must not be told together, since they come again together.
            self._turn.wait(hold * random.uniform(0.5, 1.5), peer, partial(self._turn_away, cycle))  # noqa: S311 - it spreads load and keeps no secret
        else:
            self._turn.wait(wait, peer, partial(super()._start_asgi_task, cycle, app))

    def _turn_away(self, cycle: RequestResponseCycle) -> None:
        self._door.count_refusal(FAST.detail)
        self._break_off(cycle, FAST)

    def on_response_complete(self) -> None:
        """Uvicorn's, without its timer, and with the next request parsed only now."""
        self.server_state.total_requests += 1
        self._note_who()
        if self.transport.is_closing():
            return
        if self._stage is Stage.BODY and self._left_bytes <= 0 and self._is_strangers(self.cycle):
            self._end()  # answered on its head, while a stranger still sends what has no length
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        self._settle()
        if self._rest and not self.pipeline:
            self.loop.call_soon(self._read_on)
        self.flow.resume_reading()

    def _is_strangers(self, cycle: RequestResponseCycle) -> bool:
        return cycle is self._active and KNOWN not in cycle.scope

    def _settle(self) -> None:
        """Begin to rest, if everything that was asked is answered."""
        if self._stage is Stage.DONE and not self._is_asked():
            self._stage = Stage.RESTING
            self._deadline = self.loop.time() + self._idle_seconds
            self._door.rests(self)

    def _is_asked(self) -> bool:
        return bool(self.pipeline) or (self._active is not None and not self._active.response_complete)

    # Ending

    def _refuse(self, fault: Refusal) -> None:
        """Say what is wrong, as the last answer on this connection. Answers that are under way are not broken into."""
        self._door.count_refusal(fault.detail)
        stage, self._stage = self._stage, Stage.DEAF
        self._charge(FAULT_COST)
        if stage is Stage.BODY and self._active is self.cycle:
            self._break_off(self.cycle, fault)
            return
        if stage is Stage.BODY and self.pipeline:
            self.pipeline.popleft()  # the newest, which is at fault
        if not self._is_asked():
            self._say(fault)
            return
        last = self.pipeline[0][0] if self.pipeline else self._active
        if last is not None:
            last.keep_alive = False

    def _break_off(self, cycle: RequestResponseCycle, fault: Refusal) -> None:
        """End a request whose body is at fault. The application sees its client go."""
        started, complete = cycle.response_started, cycle.response_complete
        cycle.disconnected = True
        cycle.message_event.set()
        if not started:
            self._say(fault)
        elif complete:
            self._end()
        else:
            self.transport.abort()

    def _say(self, fault: Refusal) -> None:
        if not self.transport.is_closing():
            self.transport.write(written_refusal(fault.status, fault.code, fault.detail, retry_after=fault.retry_after))
            self._end()

    def _end(self) -> None:
        """Close, once the peer has had a moment to read: what it still sends would otherwise make its machine throw away
        what it has received."""
        self._stage, self._left_bytes = Stage.OVER, 0
        self._rest = memoryview(b"")
        self._deadline = self.loop.time() + LINGER_SECONDS
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            with suppress(OSError, RuntimeError):
                self.transport.write_eof()

    def make_room(self) -> None:
        self.transport.abort()

    def check(self, now: float) -> None:
        """End what has taken too long."""
        if self.transport.is_closing():
            self._closing_since = min(self._closing_since, now)
        if now - min(self._closing_since, self.flow.stuck_since) > self._slow_seconds:
            self._door.count_refusal("nobody took the answer")
            self.transport.abort()
        elif now >= self._due() and not self.transport.is_closing():
            self._overdue(now)

    def _due(self) -> float:
        if self._stage is Stage.BODY:
            return self._body_begun + self._body_seconds + self._body_bytes / BODY_BYTES_PER_SECOND
        return self._deadline

    def _overdue(self, now: float) -> None:
        if self._stage is Stage.OVER:
            self.transport.abort()
        elif self._stage is Stage.RESTING and self.is_paced():
            self._deadline = now + self._head_seconds  # it is we who do not read
        elif self._stage is Stage.RESTING:
            self._door.count_refusal("asked nothing")
            self.transport.close()
        elif self._stage is Stage.HEAD:
            if self._is_asked() or self.flow.read_paused:
                self._deadline = now + self._head_seconds  # it is we who do not read
            else:
                self._refuse(SLOW_HEAD)
        elif self._stage is Stage.BODY:
            if self.flow.read_paused or (self._active is not self.cycle and self._is_asked()):
                self._body_begun = now - self._body_bytes / BODY_BYTES_PER_SECOND
            else:
                self._refuse(SLOW_BODY)
