"""/v1/summaries: articles and papers summarised for those who edit, at the house's cost."""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from api.auth.keyring import by
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
from api.v1.playground import TokensUsed, tokens_view
from common.errors import BodyTooLarge, DomainError, NotConfigured
from common.settings import settings
from models.access import scopes
from models.access.audit_log import By
from models.access.scopes import Caller
from models.db import certain, transaction
from models.jobs import reads, words
from models.jobs.admission import Order, body_hash
from models.jobs.dispatch import Ring
from models.jobs.states import JobStatus, seen_status
from models.locks import lock_account
from models.playground import summaries
from models.playground.summaries import ASKED, TEXT_CHARACTERS, TITLE_CHARACTERS, NewSummary, PartRow, SummaryRow
from workers.doorbell import ring

fast_router = PrefixRouter(prefix="/v1/summaries", tags=["summaries"], route_class=FastRoute)
router = PrefixRouter(prefix="/v1/summaries", tags=["summaries"], route_class=WalledRoute)

SUMMARIES = Listing("summaries", UUID)


class SummaryRequest(RequestBody):
    """A text to summarise."""

    kind: Annotated[
        Literal["article", "paper"],
        Field(description="An article becomes a paragraph; a paper a paragraph and its implications."),
    ]
    text: Annotated[str, Field(min_length=1, pattern=r"\S", json_schema_extra={"maxLength": TEXT_CHARACTERS})]
    title: Annotated[str | None, Field(min_length=1, max_length=TITLE_CHARACTERS, pattern=r"\S")] = None
    model: Annotated[str | None, Field(min_length=1, max_length=100, description="SUMMARY_MODEL, if left out.")] = None


class SummaryError(BaseModel):
    """Which part has failed, and why. The credits of a part that has failed are given back; a part that has succeeded cost
    what it cost.
    """

    part: Literal["paragraph", "implications"]
    code: str
    message: str | None


class ListedSummary(BaseModel):
    """A summary, as lists show it."""

    id: UUID
    kind: Literal["article", "paper"]
    title: str | None
    status: Annotated[
        Literal["queued", "running", "succeeded", "failed"],
        Field(description="succeeded: all parts have; failed: one has not, and no text is shown."),
    ]
    model: str
    ordered_by: UUID
    tokens: TokensUsed
    credits: Annotated[int, Field(description="What its parts have cost so far.")]
    error: SummaryError | None
    jobs: list[UUID]
    created_at: datetime


class SummaryView(ListedSummary):
    """A summary. Its texts are plain text, not HTML."""

    paragraph: str | None
    implications: Annotated[str | None, Field(description="Of a paper.")]


class SummaryPage(ListPage[ListedSummary]):
    """Summaries, newest first."""


def status_of_parts(parts: list[PartRow]) -> JobStatus:
    """How a summary stands: it has failed as soon as a part has, and is there when all parts are."""
    stand = [seen_status(each.ended, each.run_status) for each in parts]
    if JobStatus.FAILED in stand or JobStatus.CANCELED in stand:
        return JobStatus.FAILED
    if all(each == JobStatus.SUCCEEDED for each in stand):
        return JobStatus.SUCCEEDED
    return JobStatus.QUEUED if all(each == JobStatus.QUEUED for each in stand) else JobStatus.RUNNING


def _error(parts: list[PartRow]) -> dict[str, Any] | None:
    for each in parts:
        if each.ended == JobStatus.CANCELED:
            return {"part": each.part, "code": "canceled", "message": "its job was canceled"}
        if each.error_code is not None:
            code, message = words.failure(each.error_code, each.error_message)
            return {"part": each.part, "code": code, "message": message}
    return None


def _listed_view(row: SummaryRow) -> dict[str, Any]:
    counted = [each.usage or {} for each in row.parts]
    usage = {name: sum(each[name] for each in counted) for name in ("tokens_in", "tokens_out") if all(name in each for each in counted)}  # fmt: skip
    return {
        "id": row.id, "kind": row.kind, "title": row.title, "status": status_of_parts(row.parts), "model": row.model_id,
        "ordered_by": row.ordered_by, "tokens": tokens_view(usage),
        "credits": sum(each.charged_credits or 0 for each in row.parts), "error": _error(row.parts),
        "jobs": [each.job_id for each in row.parts], "created_at": row.created_at,
    }  # fmt: skip


def _summary_view(row: SummaryRow) -> dict[str, Any]:
    there = status_of_parts(row.parts) == JobStatus.SUCCEEDED
    texts = {each.part: each.text for each in row.parts if there}
    return {**_listed_view(row), "paragraph": texts.get("paragraph"), "implications": texts.get("implications")}


@fast_router.post("", status_code=201, response_model=SummaryView, summary="Summarise an article or a paper")
@fast(need="edit", body=SummaryRequest, idempotency_key=(KeyHeader, None))
async def create_summary(request: Request) -> Response:
    """For those who edit. All parts are ordered, or none; the house account pays for them. With `Prefer: wait=N` the answer
    waits for the texts, as with jobs; look at the summary until its status says that it has ended.
    """
    who, here = await permitted(request, "edit"), services(request.app)
    body, said = await read_body(request, SummaryRequest)
    if len(body.text) > TEXT_CHARACTERS:
        raise BodyTooLarge(
            f"text has {len(body.text)} characters; the limit is {TEXT_CHARACTERS}",
            param="text", limit=TEXT_CHARACTERS, size=len(body.text),
        )  # fmt: skip
    house = settings().house_account
    if house is None:
        raise NotConfigured("there are no summaries here: HOUSE_ACCOUNT, which pays for them, is not set")
    row, replayed = await here.wall.run(
        house, partial(here.places.ordinary.run, _making(request, who, house, body, said))
    )
    row, applied = await _ended(request, here, row)
    made = made_answer(_summary_view(row), status=201, location="/v1/summaries/{id}", replayed=replayed)
    made.headers.update(applied)
    return made


def _making(
    request: Request, who: Caller, house: UUID, body: SummaryRequest, said: dict[str, Any]
) -> Callable[[], tuple[SummaryRow, bool]]:
    """What orders a summary. A repeated request may not fail because the model that it names is gone: it was taken."""
    key, asked = key_of(request), body_hash({"summary": said})
    # The house's keys are of all who edit: each has a name space of their own.
    own = None if key is None else hashlib.sha256(f"{who.user_id} {key}".encode()).hexdigest()
    try:
        orders = _orders(services(request.app), who, house, body, own, asked)
    except DomainError as error:
        if own is None:
            raise
        return partial(_earlier, house, own, asked, error)
    return partial(_make, house, by(who, request), who.user_id, NewSummary(uuid7(), body.kind, body.title, orders))


def _earlier(house: UUID, own: str, asked: bytes, error: DomainError) -> tuple[SummaryRow, bool]:
    with transaction() as conn:
        job_id = reads.job_of_key(conn, house, f"summary paragraph {own}", asked)
        if job_id is None:
            raise error
        return summaries.find(conn, summaries.of_job(conn, job_id)), True


def _orders(
    here: Services, who: Caller, house: UUID, body: SummaryRequest, own: str | None, asked: bytes
) -> list[Order]:
    name = body.model or settings().summary_model
    scopes.check_model(who, name)
    offer = here.catalogue.named(name)
    return [
        Order(
            uuid7(), house, offer, offer.checked(summaries.asked_of(offer, words_, body.text)),
            idempotency_key=None if own is None else f"summary {part} {own}", body_hash=asked,
        )
        for part, words_ in ASKED[body.kind].items()
    ]  # fmt: skip


def _make(house: UUID, by_: By, user_id: UUID, new: NewSummary) -> tuple[SummaryRow, bool]:
    with certain() as conn:
        if not lock_account(conn, house):
            raise NotConfigured("HOUSE_ACCOUNT, which pays for summaries, is no account here")
        summary_id, accepted = summaries.order(conn, by_, user_id, new)
        row = summaries.find(conn, summary_id)
    ring([Ring(each.job_id, each.queue) for each in accepted if each.dispatched])
    return row, row.id != new.id


async def _ended(request: Request, here: Services, row: SummaryRow) -> tuple[SummaryRow, dict[str, str]]:
    """The summary once its parts have ended, as far as its client would wait. What was ordered is ordered: whatever hinders
    the look at what became of it, it is answered as it is known.
    """
    applied: dict[str, str] = {}
    with suppress(DomainError):
        jobs = [job for each in row.parts if (job := await here.jobs.ask(each.job_id)) is not None]
        waited = await asyncio.gather(*(wait_for_end(request, job, here.live, here.jobs) for job in jobs))
        applied = {name: value for _, headers in waited for name, value in headers.items()}
        if all(job.ended for job, _ in waited):
            row = await here.places.ordinary.run(partial(_whole, row.id))
    return row, applied


def _whole(summary_id: UUID) -> SummaryRow:
    """A summary, with its texts if they are to be had."""
    with transaction() as conn:
        row = summaries.find(conn, summary_id)
    waiting = [each.job_id for each in row.parts if each.ended is not None and each.text_state == "waiting"]
    if waiting:
        keep_now(waiting)
        with transaction() as conn:
            row = summaries.find(conn, summary_id)
    return row


@router.get("", response_model=SummaryPage, summary="List summaries", dependencies=[Depends(needs("edit"))])
def list_summaries(wanted: Annotated[WantedPage[UUID], Depends(SUMMARIES.wanted)]) -> Response:
    """All that were ordered, newest first, without their texts. For those who edit."""
    with transaction() as conn:
        rows = summaries.list_summaries(conn, before=wanted.after, limit=wanted.reads)
    return answer(SUMMARIES.page(rows, wanted, lambda row: row.id, _listed_view))


@router.get(
    "/{summary_id}", response_model=SummaryView, summary="Look at a summary", dependencies=[Depends(needs("edit"))]
)
def get_summary(summary_id: PathId) -> Response:
    """Its texts are there when all of its parts have succeeded. For those who edit."""
    return answer(_summary_view(_whole(id_of(summary_id, "summary"))))
