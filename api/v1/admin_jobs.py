"""/v1/admin/jobs: what operators see of all accounts' jobs."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, PathId, WantedPage, id_of
from api.routes.fast_routes import answer
from api.routes.labels import WantedLabel, label_wanted
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import Moment
from api.routes.walled import AdminRoute
from common.errors import InvalidParameter
from models.access.scopes import Caller
from models.db import snapshot
from models.fleet.replicas import caught_up
from models.operations import finding
from models.operations.finding import MAX_TEXT, FoundStatus, JobFilter
from models.operations.story import Story, story

router = PrefixRouter(prefix="/v1/admin/jobs", tags=["admin"], route_class=AdminRoute)

ALL_JOBS = Listing("all_jobs", UUID)


class FoundJobView(BaseModel):
    """A job as operators find it."""

    id: UUID
    account_id: UUID
    model: str
    queue: str
    status: FoundStatus
    reserved: int
    charged: int | None
    attempts: int
    provider: str | None
    error: str | None
    reason: str | None
    labels: dict[str, str] | None
    created_at: datetime
    ended_at: datetime | None


class FoundJobPage(ListPage[FoundJobView]):
    """Jobs of all accounts, newest first. A page may have fewer than `limit`, or none, and `next` go on all the same."""


def filter_of(
    account_id: Annotated[UUID | None, Query()] = None,
    status: Annotated[FoundStatus | None, Query(description="As operators see it: `reconciling` apart.")] = None,
    model: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    queue: Annotated[Literal["interactive", "batch"] | None, Query()] = None,
    label: WantedLabel = None,
    error: Annotated[str | None, Query(min_length=1, max_length=100, description="The code of its failure, or of an attempt's.")] = None,
    provider: Annotated[str | None, Query(min_length=1, max_length=100, description="One of its attempts was there.")] = None,
    since: Annotated[Moment | None, Query(description="Ordered then or later.")] = None,
    until: Annotated[Moment | None, Query(description="Ordered before.")] = None,
    text: Annotated[str | None, Query(min_length=1, max_length=MAX_TEXT, description="In its input, its error, or as a provider's id of it.")] = None,
) -> JobFilter:  # fmt: skip
    """A dependency: which jobs are asked for. Raises InvalidParameter."""
    label_wanted(label)
    if since is not None and until is not None and since >= until:
        raise InvalidParameter("since is not before until", param="since")
    return JobFilter(
        account_id=account_id, status=status, model=model, queue=queue, label=label, error=error, provider=provider,
        since=since, until=until, text=text,
    )  # fmt: skip


@router.get("", response_model=FoundJobPage, summary="Find jobs of all accounts")
def find_jobs(
    _who: Annotated[Caller, Depends(needs("admin"))],
    wanted: Annotated[WantedPage[UUID], Depends(ALL_JOBS.wanted)],
    chosen: Annotated[JobFilter, Depends(filter_of)],
) -> Response:
    """Newest first. One request looks at 10,000 jobs, those that account, status or time lead to: where they do not fit the
    rest of the filter, the page is short and `next` goes on.
    """
    with caught_up() as conn:
        rows, following = finding.find_jobs(conn, chosen, before=wanted.after, limit=wanted.limit)
    following_cursor = ALL_JOBS.cursor_of(following) if following else None
    return answer({"data": [row._asdict() for row in rows], "next": following_cursor})


@router.get("/{job_id}", response_model=Story, summary="A job's whole story")
def get_job_story(job_id: PathId, _who: Annotated[Caller, Depends(needs("admin"))]) -> Response:
    """What was ordered, where it stands, attempts with the providers' ids and words, ledger entries, events, deliveries, files,
    and what operators did to it.
    """
    wanted = id_of(job_id, "job")
    with snapshot() as conn:
        return answer(story(conn, wanted).model_dump())
