"""Summaries for those who edit: an article becomes a paragraph, a paper a paragraph and its implications. Each part is a job
of the house account, which pays; all are ordered in one transaction, and shown when all have succeeded.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import CheckConstraint, Text, UniqueConstraint, Uuid
from sqlmodel import Field, SQLModel

from common.errors import DomainError, InvalidInput, NotFound
from models.access import audit_log
from models.access.audit_log import By
from models.catalogue.entries import Offer
from models.columns import created_at, in_list
from models.jobs import submit
from models.jobs.admission import Accepted, Order
from models.playground import kept

SummaryKind = Literal["article", "paper"]
SummaryPart = Literal["paragraph", "implications"]
TITLE_CHARACTERS = 200
TEXT_CHARACTERS = 200_000
# What each part asks for.
ASKED: Mapping[SummaryKind, Mapping[SummaryPart, str]] = {
    "article": {
        "paragraph": "Summarise the article in one paragraph: what it reports, and why it matters. Add nothing of your own."
    },
    "paper": {
        "paragraph": "Summarise the paper in one paragraph: its question, its method and its findings. Add nothing of your own.",
        "implications": "Say in one paragraph what follows from the paper: the implications of its results for practice, "
        "for policy and for further research. Add nothing of your own.",
    },
}


class Summary(SQLModel, table=True):
    """One order. Of a paper there are two jobs."""

    __tablename__ = "summaries"
    __table_args__ = (
        UniqueConstraint("paragraph_job"),
        UniqueConstraint("implications_job"),
        CheckConstraint(in_list("kind", *ASKED), name="kind"),
        CheckConstraint("(kind = 'paper') = (implications_job is not null)", name="parts"),
        CheckConstraint(f"length(title) between 1 and {TITLE_CHARACTERS}", name="title"),
    )

    id: UUID = Field(primary_key=True)
    kind: str = Field(sa_type=Text, nullable=False)
    title: str | None = Field(default=None, sa_type=Text, nullable=True)
    ordered_by: UUID = Field(sa_type=Uuid, nullable=False)  # the user
    paragraph_job: UUID = Field(foreign_key="jobs.id", nullable=False)
    implications_job: UUID | None = Field(default=None, foreign_key="jobs.id", nullable=True)
    created_at: datetime = created_at()


class NewSummary(NamedTuple):
    """What is ordered: `orders` has one for each part of its kind, in their order."""

    id: UUID
    kind: SummaryKind
    title: str | None
    orders: Sequence[Order]


class PartRow(NamedTuple):
    """One part's job, as far as it is."""

    part: SummaryPart
    job_id: UUID
    ended: str | None
    run_status: str | None
    charged_credits: int | None
    error_code: str | None
    error_message: str | None
    usage: dict[str, Any] | None
    text_state: str
    text: str | None


class SummaryRow(NamedTuple):
    """A summary with its parts, the paragraph first."""

    id: UUID
    kind: SummaryKind
    title: str | None
    ordered_by: UUID
    created_at: datetime
    model_id: str
    parts: list[PartRow]


def asked_of(offer: Offer, asked: str, text: str) -> dict[str, Any]:
    """A model's input for one part: what is asked stands apart from the text where the model has a place for it. Raises
    InvalidInput for a model that makes no text.
    """
    if offer.entry.kind != "text":
        raise InvalidInput(f"{offer.entry.id} makes {offer.entry.kind}, and a summary is a text", param="model")
    if "system" in offer.entry.input_schema.get("properties", {}):
        return {"system": asked, "prompt": text}
    return {"prompt": f"{asked}\n\n{text}"}


def order(conn: Connection[Any], by: By, user_id: UUID, new: NewSummary) -> tuple[UUID, list[Accepted]]:
    """Order all parts, or none. Returns the summary that answers, which may be that of the same request before, and what is
    to be rung. Raises what refuses an order.
    """
    accepted = list[Accepted]()
    for each in submit.submit(conn, new.orders, wait=True):
        if isinstance(each, DomainError):
            raise each
        assert isinstance(each, Accepted)  # noqa: S101 - a submit that waits is never told that the account is locked
        accepted.append(each)
    jobs = [each.job_id for each in accepted]
    if accepted[0].replayed:
        return of_job(conn, jobs[0]), []
    kept.want(conn, jobs)
    conn.execute(
        """insert into summaries (id, kind, title, ordered_by, paragraph_job, implications_job)
           values (%s, %s, %s, %s, %s, %s)""",
        [new.id, new.kind, new.title, user_id, jobs[0], jobs[1] if len(jobs) > 1 else None],
    )
    model_id = new.orders[0].offer.entry.id
    audit_log.record(conn, by, "summary.order", str(new.id), kind=new.kind, model=model_id, jobs=list(map(str, jobs)))
    return new.id, accepted


def of_job(conn: Connection[Any], job_id: UUID) -> UUID:
    """The summary whose paragraph is this job."""
    row = conn.execute("select id from summaries where paragraph_job = %s", [job_id]).fetchone()
    assert row is not None  # noqa: S101 - made in the transaction of its jobs, and never deleted
    found: UUID = row[0]
    return found


_PARTS = """select s.id, p.part, p.job_id, j.ended, r.status, j.charged_credits, j.error_code, j.error_message,
       (select t.usage from attempts t where t.job_id = j.id and t.usage is not null order by t.number desc limit 1),
       k.state, case when %(whole)s then k.text end, s.kind, s.title, s.ordered_by, s.created_at, j.model_id
  from (select * from summaries where {where} order by id desc limit %(limit)s) s
  cross join lateral (values (0, 'paragraph', s.paragraph_job), (1, 'implications', s.implications_job))
       as p(place, part, job_id)
  join jobs j on j.id = p.job_id join kept_texts k on k.job_id = j.id left join job_runs r on r.job_id = j.live_id
 order by s.id desc, p.place"""


def _read(conn: Connection[Any], where: str, limit: int, *, whole: bool, **values: Any) -> list[SummaryRow]:
    found: dict[UUID, SummaryRow] = {}
    rows = conn.execute(_PARTS.format(where=where), {"limit": limit, "whole": whole, **values}).fetchall()
    for summary_id, *part, kind, title, ordered_by, created_at_, model_id in rows:
        row = found.setdefault(summary_id, SummaryRow(summary_id, kind, title, ordered_by, created_at_, model_id, []))
        row.parts.append(PartRow(*part))
    return list(found.values())


def find(conn: Connection[Any], summary_id: UUID) -> SummaryRow:
    """One summary with its texts. Raises NotFound."""
    found = _read(conn, "id = %(id)s", 1, whole=True, id=summary_id)
    if not found:
        raise NotFound(f"no summary {summary_id}", param="id")
    return found[0]


def list_summaries(conn: Connection[Any], *, before: UUID | None = None, limit: int = 20) -> list[SummaryRow]:
    """All summaries without their texts, newest first, from the one before `before`."""
    return _read(conn, "(%(before)s::uuid is null or id < %(before)s)", limit, whole=False, before=before)
