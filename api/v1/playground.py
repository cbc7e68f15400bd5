"""/v1/playground: text generations saved as sessions."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from psycopg import Connection
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from api.keeping import keep_now
from api.live.prefer_wait import wait_for_end
from api.routes.callers import needs, permitted
from api.routes.cursors import Listing, ListPage, PathId, WantedPage, id_of
from api.routes.fast_routes import FastRoute, answer, fast, read_body
from api.routes.once import KeyHeader, key_of, made_answer
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from api.services import Services, services
from api.v1.jobs_shapes import JobError, Status
from common.errors import DomainError, InvalidInput, NotFound
from models.access import scopes
from models.access.scopes import Caller
from models.db import certain, transaction
from models.jobs import reads, submit, words
from models.jobs.admission import Accepted, Order, body_hash
from models.jobs.dispatch import Ring
from models.jobs.states import seen_status
from models.playground import sessions
from models.playground.sessions import EXPLANATION_CHARACTERS, TITLE_CHARACTERS, NewSession, SessionRow
from workers.doorbell import ring

fast_router = PrefixRouter(prefix="/v1/playground", tags=["playground"], route_class=FastRoute)
router = PrefixRouter(prefix="/v1/playground", tags=["playground"], route_class=WalledRoute)

SESSIONS = Listing("sessions", UUID)

_Title = Annotated[str, Field(min_length=1, max_length=TITLE_CHARACTERS, pattern=r"\S")]
_Explanation = Annotated[
    str, Field(max_length=EXPLANATION_CHARACTERS, description="Your own words on it, such as why the answer is so.")
]


class SessionRequest(RequestBody):
    """A text of your own that was made (`job`), or one to make (`model` and `prompt`)."""

    job: Annotated[UUID | None, Field(description="A text job that has succeeded; saved again it is the same session.")] = None  # fmt: skip
    model: Annotated[str | None, Field(min_length=1, max_length=100, description="One of GET /v1/models.")] = None
    prompt: Annotated[str | None, Field(min_length=1, description="As long as the model takes.")] = None
    title: Annotated[_Title | None, Field(description="The beginning of the prompt, if left out.")] = None
    explanation: _Explanation | None = None
    public: Annotated[bool, Field(strict=True, description="Whether anybody who is signed in may read it.")] = False

    @model_validator(mode="after")
    def _one_thing(self) -> "SessionRequest":
        if (self.job is None) == (self.model is None and self.prompt is None):
            raise ValueError("name a job, or a model and a prompt")
        if (self.model is None) != (self.prompt is None):
            raise ValueError("a text to make needs a model and a prompt")
        return self


class SessionChange(RequestBody):
    """What is to be different; the rest stays."""

    title: _Title | None = None
    explanation: Annotated[_Explanation | None, Field(description="Null takes it away.")] = None
    public: Annotated[bool | None, Field(strict=True, description="Publish it, or take it back.")] = None


class TokensUsed(BaseModel):
    """What the provider counted; null: it did not say."""

    input: int | None
    output: int | None


class ListedSession(BaseModel):
    """A saved generation, as lists show it."""

    id: UUID
    title: str
    model: str
    status: Annotated[Status, Field(description="Of its job.")]
    tokens: TokensUsed
    credits: Annotated[int | None, Field(description="What it cost; null until its job has ended.")]
    public: bool
    mine: bool
    job: Annotated[UUID | None, Field(description="Whose events tell the text as it is written; of your own alone.")]
    error: JobError | None
    created_at: datetime
    updated_at: datetime


class SessionView(ListedSession):
    """A saved generation."""

    prompt: str | None
    response: Annotated[str | None, Field(description="Null until its job has succeeded. Plain text, not HTML.")]
    truncated: Annotated[bool, Field(description="There was more than a mebibyte of it.")]
    explanation: str | None


class SessionPage(ListPage[ListedSession]):
    """Your own sessions, newest first."""


def tokens_view(usage: dict[str, Any] | None) -> dict[str, Any]:
    """Tokens as they are shown."""
    counted = usage or {}
    return {"input": counted.get("tokens_in"), "output": counted.get("tokens_out")}


def _listed_view(row: SessionRow, *, reader: UUID) -> dict[str, Any]:
    mine = row.account_id == reader
    code, message = words.failure(row.error_code, row.error_message) if row.error_code else (None, None)
    return {
        "id": row.id, "title": row.title, "model": row.model_id, "status": seen_status(row.ended, row.run_status),
        "tokens": tokens_view(row.usage), "credits": row.charged_credits, "public": row.is_public, "mine": mine,
        "job": row.job_id if mine else None, "error": {"code": code, "message": message} if code else None,
        "created_at": row.created_at, "updated_at": row.updated_at,
    }  # fmt: skip


def _session_view(row: SessionRow, *, reader: UUID) -> dict[str, Any]:
    return {
        **_listed_view(row, reader=reader), "prompt": row.prompt, "response": row.response, "truncated": row.truncated,
        "explanation": row.explanation,
    }  # fmt: skip


@fast_router.post("/sessions", status_code=201, response_model=SessionView, summary="Save a text as a session")
@fast(need="generate", body=SessionRequest, idempotency_key=(KeyHeader, None))
async def create_session(request: Request) -> Response:
    """One that was made, or one to make: then its job is ordered, and the response is there when that has ended
    (`Prefer: wait=N` waits for it, as with jobs; `/v1/jobs/{job}/events` tells it as it is written).
    """
    who, here = await permitted(request, "generate"), services(request.app)
    body, said = await read_body(request, SessionRequest)
    new = NewSession(body.title, body.explanation, body.public)
    work = (
        partial(_save, who, body.job, new)
        if body.job is not None
        else _running(here, who, body, key_of(request), said, new)
    )
    row, replayed = await here.wall.run(who.account_id, partial(here.places.ordinary.run, work))
    row, applied = await _ended(request, here, row)
    made = made_answer(
        _session_view(row, reader=who.account_id),
        status=201,
        location="/v1/playground/sessions/{id}",
        replayed=replayed,
    )
    made.headers.update(applied)
    return made


def _running(
    here: Services, who: Caller, body: SessionRequest, key: str | None, said: dict[str, Any], new: NewSession
) -> Callable[[], tuple[SessionRow, bool]]:
    """What orders a session's job and saves it. A repeated request may not fail because the model that it names is gone: it was taken."""
    asked = body_hash({"session": said}) if key else b""
    try:
        return partial(_run, who, _order(here, who, body, key, asked), new)
    except DomainError as error:
        if key is None:
            raise
        return partial(_earlier, who, key, asked, error)


def _earlier(who: Caller, key: str, asked: bytes, error: DomainError) -> tuple[SessionRow, bool]:
    with transaction() as conn:
        job_id = reads.job_of_key(conn, who.account_id, key, asked)
        if job_id is None:
            raise error
        return _saved(conn, who, job_id), True


def _saved(conn: Connection[Any], who: Caller, job_id: UUID) -> SessionRow:
    """The session that an earlier request has made. Raises NotFound once it was deleted: it is not made anew."""
    session_id = sessions.of_job(conn, job_id)
    if session_id is None:
        raise NotFound("the session that this request made was deleted", param="Idempotency-Key")
    return sessions.find(conn, session_id, reader=who.account_id)


def _order(here: Services, who: Caller, body: SessionRequest, key: str | None, asked: bytes) -> Order:
    scopes.check_model(who, body.model or "")
    offer = here.catalogue.named(body.model or "")
    if offer.entry.kind != "text":
        raise InvalidInput(f"a session is a text; {offer.entry.id} makes {offer.entry.kind}", param="model")
    return Order(
        uuid7(), who.account_id, offer, offer.checked({"prompt": body.prompt}), api_key_id=who.key_id,
        key_budget=who.monthly_credits, idempotency_key=key, body_hash=asked,
    )  # fmt: skip


def _run(who: Caller, order: Order, new: NewSession) -> tuple[SessionRow, bool]:
    """Order the job and save it, both or neither."""
    with certain() as conn:
        accepted = submit.submit(conn, [order], wait=True)[0]
        if isinstance(accepted, DomainError):
            raise accepted
        assert isinstance(accepted, Accepted)  # noqa: S101 - a submit that waits is never told that the account is locked
        if accepted.replayed:
            return _saved(conn, who, accepted.job_id), True
        session_id, _ = sessions.create(conn, who.account_id, accepted.job_id, order.input["prompt"], new)
        row = sessions.find(conn, session_id, reader=who.account_id)
    if accepted.dispatched:
        ring([Ring(accepted.job_id, accepted.queue)])
    return row, False


def _save(who: Caller, job_id: UUID, new: NewSession) -> tuple[SessionRow, bool]:
    with certain() as conn:
        session_id, made = sessions.save(conn, who.account_id, job_id, new)
        row = sessions.find(conn, session_id, reader=who.account_id)
    return row, not made


async def _ended(request: Request, here: Services, row: SessionRow) -> tuple[SessionRow, dict[str, str]]:
    """The session once its job has ended, as far as its client would wait. What was made is made: whatever hinders the
    look at what became of it, it is answered as it is known.
    """
    applied: dict[str, str] = {}
    with suppress(DomainError):
        if row.ended is None and (job := await here.jobs.ask(row.job_id)) is not None:
            job, applied = await wait_for_end(request, job, here.live, here.jobs)
            if job.ended is None:
                return row, applied
        row = await here.places.ordinary.run(partial(_whole, row.id, row.account_id))
    return row, applied


def _whole(session_id: UUID, reader: UUID) -> SessionRow:
    """A session, with its text if that is to be had."""
    with transaction() as conn:
        row = sessions.find(conn, session_id, reader=reader)
    if row.awaits_text:
        keep_now([row.job_id])
        with transaction() as conn:
            row = sessions.find(conn, session_id, reader=reader)
    return row


@router.get("/sessions", response_model=SessionPage, summary="List sessions")
def list_sessions(
    who: Annotated[Caller, Depends(needs("read"))], wanted: Annotated[WantedPage[UUID], Depends(SESSIONS.wanted)]
) -> Response:
    """Your own, newest first, without their texts."""
    with transaction() as conn:
        rows = sessions.list_sessions(conn, who.account_id, before=wanted.after, limit=wanted.reads)
    view = partial(_listed_view, reader=who.account_id)
    return answer(SESSIONS.page(rows, wanted, lambda row: row.id, view))


@router.get("/sessions/{session_id}", response_model=SessionView, summary="Look at a session")
def get_session(session_id: PathId, who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """Your own, or a public one of anybody's. Public means to everybody who is signed in: what strangers have written is not
    served to the whole web from this address; a product that wants that shows it on a page of its own.
    """
    row = _whole(id_of(session_id, "session"), who.account_id)
    return answer(_session_view(row, reader=who.account_id))


@router.patch("/sessions/{session_id}", response_model=SessionView, summary="Rename, explain or publish a session")
def change_session(
    session_id: PathId, body: SessionChange, who: Annotated[Caller, Depends(needs("write"))]
) -> Response:
    """Only what is named changes. One that is not public any more is nobody else's at once."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    fields = {
        "is_public" if name == "public" else name: value
        for name, value in given.items()
        if value is not None or name == "explanation"
    }
    with certain() as conn:
        row = sessions.change(conn, who.account_id, id_of(session_id, "session"), fields)
    with suppress(DomainError):  # it is changed, whatever hinders the look at its text
        row = _whole(row.id, who.account_id)
    return answer(_session_view(row, reader=who.account_id))


@router.delete("/sessions/{session_id}", status_code=204, summary="Delete a session")
def delete_session(session_id: PathId, who: Annotated[Caller, Depends(needs("delete"))]) -> Response:
    """It and its response are gone; its job stays in the list of jobs."""
    with certain() as conn:
        sessions.delete(conn, who.account_id, id_of(session_id, "session"))
    return Response(status_code=204)
