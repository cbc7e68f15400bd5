"""An account's jobs: found, looked at with what they made, and canceled."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.account.site import ACCOUNT_SITE, Looking, Ordering, account_router
from api.orders.placing import cancel_own
from api.orders.told import job_view
from api.results import Lost, open_file
from api.routes.cursors import WantedPage, id_of
from api.routes.labels import label_wanted
from api.sites.forms import ActForm, ask_first, carry_out
from api.sites.routing import Posted
from api.v1.snapshots import JOBS
from common.errors import InvalidParameter, NotFound, ResultGone
from models.absence import refuse_absent
from models.credits.reads import entries_of_job
from models.db import transaction
from models.files.results import find_result
from models.fleet.replicas import caught_up
from models.jobs import reads
from models.jobs.reads import JobRow
from models.jobs.states import JobStatus
from storage.errors import StorageError

router = account_router()

PAGE_JOBS = 25
STATES = tuple(str(each) for each in JobStatus)
MAX_SOUGHT = 160
MAX_TEXTS, TEXT_BYTES = 4, 65_536  # of results that are shown as text


class JobSearch(NamedTuple):
    """What is sought: an id leads to its job, `name:value` is a label, and anything else a model."""

    id: UUID | None = None
    label: dict[str, str] | None = None
    model: str | None = None


def search_of(text: str) -> JobSearch:
    """What somebody means by a text. Raises InvalidParameter for a label that is none. Pure."""
    text = text.strip()
    if not text:
        return JobSearch()
    try:
        return JobSearch(id=UUID(text))
    except ValueError:
        return JobSearch(label=label_wanted(text)) if ":" in text else JobSearch(model=text)


@router.get("/jobs")
def show_own_jobs(page: Looking, request: Request) -> Response:
    """Newest first; by state, label or model. A whole id leads to the job."""
    given = request.query_params
    text, cursor = given.get("q", "")[:MAX_SOUGHT], given.get("cursor")
    status = given.get("status") if given.get("status") in STATES else None
    wanted = WantedPage(None if cursor is None else JOBS.place_of(cursor), PAGE_JOBS)
    sought, refused, rows = JobSearch(), None, list[JobRow]()
    try:
        sought = search_of(text)
    except InvalidParameter as error:
        refused = error
    if sought.id is not None:
        return page.go(f"/jobs/{sought.id}")
    if refused is None:
        with caught_up() as conn:
            rows = reads.list_jobs(
                conn, page.who.account_id, before=wanted.after, status=status, model_id=sought.model, label=sought.label,
                limit=wanted.reads,
            )  # fmt: skip
    shown, more = rows[: wanted.limit], len(rows) > wanted.limit
    return page.show(
        "jobs.html", 422 if refused else 200, jobs=[job_view(each) for each in shown], q=text, status=status, states=STATES,
        refused=refused, newest=ACCOUNT_SITE.link("/jobs", q=text, status=status) if cursor else None,
        following=ACCOUNT_SITE.link("/jobs", q=text, status=status, cursor=JOBS.cursor_of(shown[-1].id)) if more else None,
    )  # fmt: skip


def own_job(account_id: UUID, job_id: UUID) -> JobRow:
    """A job of an account. Raises JobForgotten, and NotFound, for somebody else's as well."""
    with transaction() as conn:
        row = reads.jobs_by_id(conn, [job_id]).get(job_id)
        if row is None or row.account_id != account_id:
            refuse_absent(conn, job_id, account_id)
    return row


def shown_job(row: JobRow) -> dict[str, Any]:
    """A job as GET /v1/jobs/{id} answers, with the times of its results as times: pages write them for people."""
    view = job_view(row)
    for each in view["outputs"]:
        if isinstance(each["expires_at"], str):
            each["expires_at"] = datetime.fromisoformat(each["expires_at"])
    return view


def texts_of(view: dict[str, Any]) -> dict[UUID, str]:
    """The texts that a job has made, where they are small: a page shows them. One that storage does not give is left out."""
    found = dict[UUID, str]()
    for each in view["outputs"][:MAX_TEXTS]:
        if each["status"] == "stored" and each["media_type"].startswith("text/") and each["size_bytes"] <= TEXT_BYTES:
            text = _text_of(each["id"])
            if text is not None:
                found[each["id"]] = text
    return found


def _text_of(asset_id: UUID) -> str | None:
    try:
        with transaction() as conn:
            result = find_result(conn, asset_id)
        opened = open_file(result.key, result.size_bytes, None)
        try:
            return b"".join([opened.first, *opened.chunks]).decode(errors="replace").replace("\0", "")
        finally:
            opened.chunks.close()
    except (StorageError, Lost, ResultGone, NotFound):
        return None


@router.get("/jobs/{job_id}")
def show_own_job(page: Looking, job_id: str) -> Response:
    """One job: how it stands, what it made, what it cost, and why it failed."""
    row = own_job(page.who.account_id, id_of(job_id, "job"))
    with transaction() as conn:
        entries = entries_of_job(conn, row.id)
    view = shown_job(row)
    return page.show("job.html", job=view, texts=texts_of(view), entries=entries, ends=row.ended is not None)


@router.get("/jobs/{job_id}/cancel")
def ask_cancel(page: Ordering, job_id: str) -> Response:
    """Before a job is canceled."""
    return ask_first(page, cancel_form(own_job(page.who.account_id, id_of(job_id, "job"))))


@router.post("/jobs/{job_id}/cancel")
def cancel_it(page: Ordering, fields: Posted, job_id: str) -> Response:
    """Cancel it; again, it changes nothing."""
    row = own_job(page.who.account_id, id_of(job_id, "job"))
    return carry_out(page, cancel_form(row), fields, lambda: cancel_own(row.id, row.account_id), "canceled")


def cancel_form(row: JobRow) -> ActForm:
    """The page that asks before a job is canceled."""
    path = f"/jobs/{row.id}"
    return ActForm(
        "Cancel this job", "If it has not started it is given back at once. If it has, it is asked to stop, and its model says what that costs.",
        f"{path}/cancel", path, "Cancel the job", fields=(), figures=((f"{row.price_credits:,}", "credits are held for it"),), danger=True,
        active="jobs",
    )  # fmt: skip
