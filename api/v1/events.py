"""/v1/events: what happened, as a stream or page by page, and tokens for browsers."""

import re
import time
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Header, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import visitor_of
from api.edge.pace import know
from api.edge.problems import Problem
from api.live.feeds import ENDS
from api.live.frames import event_view, place_frame, reset_frame, reset_view, state_frame
from api.live.hub import PAGE, Live
from api.live.sse import EventStream, wants_stream
from api.orders.placing import see_job
from api.orders.told import job_view
from api.routes.callers import needs, permitted
from api.routes.cursors import MAX_LIMIT, MAX_NUMBER, Cursor, Listing, ListPage, PathId, id_of, number_of
from api.routes.fast_routes import FastRoute, answer, fast
from api.routes.labels import WantedLabel
from api.routes.prefix_router import PrefixRouter
from api.services import services
from api.v1.jobs_shapes import Status
from api.v1.snapshots import FILTERS, check_values, refuse_words, take_snapshot, wanted_snapshot
from common import tokens
from common.errors import Forbidden, InvalidRequest, NotAuthenticated
from common.settings import settings
from models.access.scopes import ROLES, Caller
from models.events.kinds import LIVE, STORED
from models.identity.people import Visitor
from models.jobs.reads import JobRow

router = PrefixRouter(tags=["events"], route_class=FastRoute)
token_router = PrefixRouter(tags=["events"])

NO_CONTENT = 204  # tells EventSource not to connect again


class EventView(BaseModel):
    """Something that happened. Numbers are the account's own, without gaps; what is only live has none."""

    number: int | None
    type: Annotated[str, Field(description=f"{', '.join(STORED)}, reset; only live: {', '.join(LIVE)}.")]
    job_id: UUID | None
    created_at: datetime | None
    data: dict[str, Any]


class EventPage(ListPage[EventView]):
    """Events, oldest first. On the last page, the last one's number is where to go on later, as `after`."""


SnapshotLimit = Annotated[
    int, Query(ge=1, le=MAX_LIMIT, description="How many at most. Of the jobs in a snapshot 20, if nothing is said.")
]
EVENTS = Listing("events", number_of, usual=MAX_LIMIT)


class StreamToken(BaseModel):
    """What a browser opens a stream with."""

    token: str
    expires_at: datetime


# Who listens


NO_KEY = UUID(int=0)


def make_token(who: Caller, expires_at: float) -> str:
    """A token that opens streams for an account until a time, without its key."""
    role = ROLES.index(who.role).to_bytes(1, "big")
    body = (
        who.account_id.bytes
        + (who.key_id or who.acting_key or NO_KEY).bytes
        + role
        + int(expires_at).to_bytes(8, "big")
    )
    return tokens.make_token(tokens.STREAM, body)


def read_token(token: str, now: float) -> Visitor:
    """Whom a stream token speaks for, if they may still listen. Raises NotAuthenticated."""
    body = tokens.body_of(tokens.STREAM, token)
    if body is None:
        raise NotAuthenticated("this stream token is not one that this API gave out")
    if int.from_bytes(body[33:], "big") <= now:
        raise NotAuthenticated("this stream token has expired; ask POST /v1/events/token for a new one")
    key_id = UUID(bytes=body[16:32])
    return Visitor(UUID(bytes=body[:16]), None if key_id == NO_KEY else key_id, ROLES[body[32]])


async def listener_of(request: Request) -> Visitor:
    """The caller of a stream: a key as everywhere, or a token, because EventSource cannot send headers. A stream may last
    for hours, so who opens one is looked up then, and not remembered.
    """
    token = request.query_params.get("token")
    if token is not None and "authorization" not in request.headers:
        visitor = read_token(token[:200], time.time())
        know(request.scope)
    else:
        visitor = visitor_of(await permitted(request, "read"))
    await services(request.app).live.let_in(visitor)
    return visitor


@token_router.post("/v1/events/token", response_model=StreamToken, status_code=201, summary="Get a token for a stream")
async def create_stream_token(who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """For `new EventSource("/v1/events?token=…")` in a browser. It opens streams, nothing else, for a minute; a stream
    that is open stays open.
    """
    expires_at = int(time.time()) + settings().stream_token_seconds
    body = {"token": make_token(who, expires_at), "expires_at": datetime.fromtimestamp(expires_at, UTC)}
    return answer(body, 201, {"cache-control": "no-store"})


# What happened


def _after(request: Request) -> int | None:
    """Where a client wants to go on: `Last-Event-ID`, which a browser sends by itself, before `after`."""
    for name, text in (
        ("Last-Event-ID", request.headers.get("last-event-id")),
        ("after", request.query_params.get("after")),
    ):
        if text:
            if not re.fullmatch("[0-9]{1,19}", text) or int(text) > MAX_NUMBER:
                raise InvalidRequest(f"{name} must be an event's number", param=name)
            return int(text)
    return None


@router.get(
    "/v1/events",
    response_model=EventPage,
    summary="Hear what happens",
    responses={429: {"model": Problem, "description": "Too many streams are open."}},
)
@fast(
    need="read",
    after=(Annotated[int | None, Query(ge=0, description="The number of the last event that you know.")], None),
    limit=(SnapshotLimit, MAX_LIMIT),
    snapshot=(
        Annotated[Literal["jobs"] | None, Query(description="Begin a stream with the jobs and the credits.")],
        None,
    ),
    status=(Annotated[Status | None, Query(description="Of jobs in a snapshot.")], None),
    model=(Annotated[str | None, Query(max_length=100, description="Of jobs in a snapshot.")], None),
    label=(WantedLabel, None),
    cursor=(Cursor, None),
    token=(Annotated[str | None, Query(description="A stream token, instead of a key. Streams only.")], None),
    last_event_id=(Annotated[str | None, Header()], None),
)
async def get_events(request: Request) -> Response:
    """With `Accept: text/event-stream` a stream of all that happens in the account: jobs, credits, subscription. It
    resumes after `Last-Event-ID` (or `after`) without a gap or a repeat; without either it begins with the `balance`
    and goes on from now. `snapshot=jobs` begins it with a page of the job list and the credits, and does so again where the place
    that it is to resume at is not kept any more. Otherwise the events after a number (or a page's `next`), oldest first, as JSON. Where they are not
    kept any more a `reset` stands for them: look at everything anew, and go on from its number.
    """
    if wants_stream(request):
        listening = await listener_of(request)
        after, first = await _beginning(request, listening, _after(request))
        listener = services(request.app).live.listen(listening.account_id, visitor=listening, after=after)
        return EventStream(services(request.app).live, listener, first)
    who = await permitted(request, "read")
    check_values(request)
    refuse_words(request, ("snapshot", *FILTERS), "a page of events has no snapshot: that is for a stream")
    if who.reach is not None and who.reach.is_narrow:
        raise Forbidden(f"{who.reach.in_words()}; its events come as a stream", may=sorted(who.reach.may))
    wanted = EVENTS.wanted_by(request)
    page = await services(request.app).live.read(
        who.account_id, (_after(request) or 0) if wanted.after is None else wanted.after
    )
    if page.missing:
        return answer({"data": [reset_view(page.current)], "next": None})
    return answer(EVENTS.page(page.events[: wanted.reads], wanted, lambda event: event.number, event_view))


async def _beginning(request: Request, listening: Visitor, after: int | None) -> tuple[int, bytes]:
    """Where a stream of an account's events goes on, and what it shows first: how things stand, unless it resumes. Where the
    place of a stream that asks for snapshots is gone, it begins anew with one.
    """
    here, wanted = services(request.app), wanted_snapshot(request, listening.reach)
    if after is not None and (wanted is None or not (await here.live.read(listening.account_id, after)).missing):
        return after, b""
    if wanted is not None:
        number, snapshot = await here.places.ordinary.run(partial(take_snapshot, listening, wanted))
        return number, state_frame("snapshot", snapshot, number)
    balance = await here.balances.ask(listening.account_id)
    number = balance.pop("event_number")
    narrow = listening.reach is not None and listening.reach.is_narrow
    return number, place_frame(number) if narrow else state_frame("balance", balance, number)


@router.get(
    "/v1/jobs/{job_id}/events",
    response_class=Response,
    summary="Follow a job",
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "The job, then its events until it has ended."},
        204: {"description": "The job has ended and you have its last event."},
        429: {"model": Problem, "description": "Too many streams are open."},
    },
)
@fast(
    need="read",
    job_id=PathId,
    after=(Annotated[int | None, Query(ge=0)], None),
    token=(Annotated[str | None, Query(description="A stream token, instead of a key.")], None),
    last_event_id=(Annotated[str | None, Header()], None),
)
async def get_job_events(request: Request) -> Response:
    """Server-sent events: the job as it stands, then what happens to it; the stream ends with the job. Of a text, what is
    written so far and then each part that follows (`job.text`): one at `position` 0 begins anew.
    """
    who = await listener_of(request)
    job_id = id_of(request.path_params["job_id"], "job")
    after = _after(request)
    row = await see_job(request, job_id, who)
    first = b""
    if after is not None and row.ended:
        known = await _knows_the_end(services(request.app).live, row, after)
        if known:
            return Response(status_code=NO_CONTENT)
        if known is None:  # the end may be among what is not kept: nothing that follows would tell it
            after, first = None, reset_frame(row.event_number)
    if after is None:
        after = row.event_number
        first += state_frame("job", job_view(row), after)
    live = services(request.app).live
    reads = row.ended is None and services(request.app).catalogue.kind_of(row.model_id) == "text"
    listener = live.listen(who.account_id, job_id=job_id, visitor=who, after=after, reads=reads)
    if first and row.ended:
        listener.finish("ended")
    return EventStream(live, listener, first)


async def _knows_the_end(live: Live, row: JobRow, after: int) -> bool | None:
    """Whether an ended job's last event is one that the client has: it tells no more, whoever connects again. None: nobody
    can say, since that is not kept any more, nor all of what followed what the client has.
    """
    read = 0
    while True:  # a job may have more events than a page holds, and its end is the last of them
        page = await live.read(row.account_id, read, job_id=row.id)
        end = next((event.number for event in page.events if event.type in ENDS), None)
        if end is not None:
            return end <= after
        if len(page.events) < PAGE:
            break
        read = page.events[-1].number
    return None if (await live.read(row.account_id, after)).missing else True
