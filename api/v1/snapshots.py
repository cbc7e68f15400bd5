"""Pages of the job list, for GET /v1/jobs and for streams that begin with one."""

from collections.abc import Iterable
from typing import Any, NamedTuple, get_args
from uuid import UUID

from psycopg import Connection
from starlette.requests import Request

from api.orders.told import job_view
from api.routes.cursors import Listing, WantedPage
from api.routes.labels import label_wanted
from api.v1.credits import credits_view
from api.v1.jobs_shapes import Status
from common.errors import Forbidden, InvalidParameter
from models.access.scopes import Reach
from models.credits.reads import expire_and_read_balance
from models.db import certain
from models.identity.people import Visitor
from models.jobs import reads

JOBS = Listing("jobs", UUID)
FILTERS = ("status", "model", "label")
MAX_MODEL_CHARACTERS = 100


class JobsShown(NamedTuple):
    """Which jobs of a list are meant. None: all."""

    status: str | None
    model_id: str | None
    label: dict[str, str] | None


def model_wanted(reach: Reach | None, asked: str | None) -> str | None:
    """The model whose jobs are listed: a token for one sees no others. Raises Forbidden."""
    if reach is None or reach.model_id is None or asked == reach.model_id:
        return asked
    if asked is not None:
        raise Forbidden(reach.in_words(), param="model", may=sorted(reach.may))
    return reach.model_id


def job_page(conn: Connection[Any], account_id: UUID, wanted: WantedPage[UUID], chosen: JobsShown) -> dict[str, Any]:
    """A page of an account's jobs, as GET /v1/jobs answers."""
    rows = reads.list_jobs(
        conn, account_id, before=wanted.after, status=chosen.status, model_id=chosen.model_id, label=chosen.label,
        limit=wanted.reads,
    )  # fmt: skip
    return JOBS.page(rows, wanted, lambda row: row.id, job_view)


class WantedSnapshot(NamedTuple):
    """The jobs that a stream shows first."""

    page: WantedPage[UUID]
    chosen: JobsShown


def refuse_words(request: Request, words: Iterable[str], why: str) -> None:
    """What would be passed over is refused: who sends it expects an answer of it. Raises InvalidParameter."""
    for word in words:
        if word in request.query_params:
            raise InvalidParameter(f"{word}: {why}", param=word)


def wanted_snapshot(request: Request, reach: Reach | None) -> WantedSnapshot | None:
    """What a stream's address asks for, with the filters of GET /v1/jobs; None: no snapshot. Raises InvalidParameter, BadCursor,
    Forbidden.
    """
    asked = request.query_params
    if "snapshot" not in asked:
        refuse_words(request, FILTERS, "it chooses the jobs of a snapshot: send snapshot=jobs as well")
        return None
    if asked["snapshot"] != "jobs":
        raise InvalidParameter("snapshot takes 'jobs'", param="snapshot")
    status, model = asked.get("status"), asked.get("model")
    if status is not None and status not in get_args(Status):
        raise InvalidParameter(f"status must be one of {', '.join(get_args(Status))}", param="status")
    if model is not None and len(model) > MAX_MODEL_CHARACTERS:
        raise InvalidParameter(f"model has {len(model)} characters; the limit is {MAX_MODEL_CHARACTERS}", param="model")
    chosen = JobsShown(status, model_wanted(reach, model), label_wanted(asked.get("label")))
    return WantedSnapshot(JOBS.wanted_by(request), chosen)


def take_snapshot(visitor: Visitor, wanted: WantedSnapshot) -> tuple[int, dict[str, Any]]:
    """A page of jobs, the credits, and the number of the newest event that both surely include. The number is read before the
    jobs: an event that comes between is told again, and none is lost. Who has a token for less sees no credits.
    """
    reach = visitor.reach
    with certain() as conn:
        balance = expire_and_read_balance(conn, visitor.account_id)
        if reach is not None and reach.job_id is not None:
            found = reads.jobs_by_id(conn, [reach.job_id])
            page: dict[str, Any] = {"data": [job_view(row) for row in found.values()], "next": None}
        else:
            page = job_page(conn, visitor.account_id, wanted.page, wanted.chosen)
    narrow = reach is not None and reach.is_narrow
    return balance.event_number, {**page, "credits": None if narrow else credits_view(balance)}
