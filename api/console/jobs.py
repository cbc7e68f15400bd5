"""Jobs of all accounts: found by what is known of them, and each with its whole story."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.console.site import CONSOLE_SITE, Viewed, console_router
from api.console.telling import story_cost, story_moments, story_phases, story_summary
from api.routes.cursors import id_of
from api.sites.routing import Fields, shaped
from api.sites.wording import later, local_text
from api.v1.admin_jobs import ALL_JOBS
from common.errors import DomainError, InvalidParameter
from common.links import token_of
from models.db import snapshot, transaction
from models.fleet.replicas import caught_up
from models.operations import finding
from models.operations.finding import FoundJob, JobFilter
from models.operations.story import Story, story
from models.operations.titles import JobTitle, account_names, job_titles

router = console_router()

PAGE_JOBS = 25
FILTERS = ("account_id", "status", "model", "queue", "label", "error", "provider", "since", "until", "text")
STATES = ("queued", "running", "reconciling", "succeeded", "failed", "canceled")
SPANS = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400}
SPAN_WORDS = {"1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days"}
CHIP_WORDS = {
    "account_id": "Account", "model": "Model", "queue": "Queue", "label": "Label", "error": "Error", "provider": "Provider",
    "since": "Since", "until": "Before", "text": "Text", "span": "Ordered",
}  # fmt: skip
SHORTHANDS = ("error", "model", "provider", "label", "account", "queue")
_Read = TypeVar("_Read")


def read_or_refused(work: Callable[[], _Read]) -> tuple[_Read | None, DomainError | None]:
    """What was read, or why it was not, where a person's own words are the reason."""
    try:
        return work(), None
    except InvalidParameter as error:
        return None, error


@router.get("/jobs")
def show_jobs(page: Viewed, request: Request) -> Response:
    """Newest first; filters are a form that is sent by GET."""
    given = {name: value for name, value in request.query_params.items() if value.strip()}
    if (wanted := _as_uuid(given.get("text", ""))) is not None:
        return page.go(f"/jobs/{wanted}")
    after = ALL_JOBS.place_of(given["cursor"]) if "cursor" in given else None
    chosen, refused = read_or_refused(lambda: filter_given(given, page.now))
    found, following, titles = list[FoundJob](), None, dict[UUID, JobTitle]()
    if chosen is not None:
        with caught_up() as conn:
            found, following = finding.find_jobs(conn, chosen, before=after, limit=PAGE_JOBS)
            titles = job_titles(conn, [each.id for each in found])
    kept = {name: value for name, value in given.items() if name in {*FILTERS, "span"}}
    return page.show(
        "jobs.html", 422 if refused else 200, jobs=found, titles=titles, given={**dict.fromkeys((*FILTERS, "span"), ""), **given}, chips=chips_of(kept), states=STATES,
        spans=SPAN_WORDS, refused=refused, whole=not kept, tabs=_tabs(kept), bulk_acts=bulk_acts_of(kept),
        following=CONSOLE_SITE.link("/jobs", **kept, cursor=ALL_JOBS.cursor_of(following)) if following else None,
        newest=CONSOLE_SITE.link("/jobs", **kept) if after else None,
    )  # fmt: skip


def filter_given(given: Fields, now: datetime) -> JobFilter:
    """The filter that a form means. Raises InvalidParameter."""
    fields = dict(given)
    if (seconds := SPANS.get(fields.get("span", ""))) is not None and "since" not in fields:
        fields["since"] = local_text(later(now, -seconds))
    chosen = shaped(JobFilter, fields, *FILTERS)
    if chosen.since is not None and chosen.until is not None and chosen.since >= chosen.until:
        raise InvalidParameter("since is not before until", param="since")
    return chosen


def chips_of(kept: Fields) -> list[tuple[str, str, str]]:
    """The filters in force: what each is called, what it asks for, and the address without it."""
    found = []
    for name, value in kept.items():
        if name != "status":
            rest = {other: each for other, each in kept.items() if other != name}
            found.append(
                (
                    CHIP_WORDS[name],
                    SPAN_WORDS.get(value, value) if name == "span" else value,
                    CONSOLE_SITE.link("/jobs", **rest),
                )
            )
    return found


def _tabs(kept: Fields) -> list[tuple[str, str, bool]]:
    rest = {name: value for name, value in kept.items() if name != "status"}
    chosen = kept.get("status", "")
    every = [("All", CONSOLE_SITE.link("/jobs", **rest), not chosen)]
    return every + [
        (each.capitalize(), CONSOLE_SITE.link("/jobs", **rest, status=each), chosen == each) for each in STATES
    ]


# What can be done to all jobs of a state: the act, its word, and whether it takes something away.
ACTS_OF_STATE = {
    "queued": (("cancel", "Cancel", True),), "running": (("cancel", "Cancel", True),),
    "reconciling": (("retry", "Retry", True), ("discard", "Give up", True)), "succeeded": (("refund", "Refund", False),),
    "failed": (("retry", "Retry", False),), "canceled": (("retry", "Retry", False), ("refund", "Refund", False)),
}  # fmt: skip
# What can be done to a job that stands so: what it is called, its icon, and whether it takes something away.
DEED_WORDS = {
    "retry": ("Order again…", "retry", False), "refund": ("Give credits back…", "gift", False), "replay": ("Tell the webhook again…", "webhooks", False),
    "discard": ("Give it up…", "x", True), "cancel": ("Cancel…", "canceled", True),
}  # fmt: skip


def bulk_acts_of(kept: Fields) -> list[tuple[str, str, bool]]:
    """What can be done to all jobs of a filter that names a state."""
    acts = ACTS_OF_STATE.get(kept.get("status", ""), ())
    return [
        (word, CONSOLE_SITE.link("/bulk/new", **kept, act=act), danger)
        for act, word, danger in acts
        if (act, kept["status"]) != ("retry", "reconciling")
    ]


def deeds_for(status: str, *, charged: int, delivered: bool) -> list[str]:
    """What can be done to a job that stands so, what is wanted most first."""
    found = [act for act, _, _ in ACTS_OF_STATE[status] if act != "refund" or charged]
    if status == "succeeded":
        found.append("retry")
    if status == "reconciling":
        found.append("cancel")
    return [*found, "replay"] if delivered else found


@router.get("/jobs/{job_id}")
def show_job(page: Viewed, job_id: str) -> Response:
    """One job, with all that happened to it."""
    wanted = id_of(job_id, "job")
    with snapshot() as conn:
        found = story(conn, wanted)
    now = page.now
    return page.show("job.html", story=found, **story_values(found, now))


def story_values(found: Story, now: datetime) -> dict[str, Any]:
    """What stands on a job's page besides its story."""
    cost = story_cost(found)
    status = found.job.ended or (found.run.status if found.run else "queued")
    return {
        "deeds": deeds_for(status, charged=found.job.charged_credits or 0, delivered=bool(found.deliveries)), "deed_words": DEED_WORDS,
        "moments": story_moments(found), "phases": story_phases(found, now), "summary": story_summary(found, now), "cost": cost,
        "status": status,
        "files": [(each, token_of(each.id) if each.status == "stored" else None) for each in found.results],
    }  # fmt: skip


@router.get("/find")
def find_anything(page: Viewed, q: str = "") -> Response:
    """A job's or an account's id, an e-mail, `error:timed_out`, or words of a prompt: to the page that has it."""
    wanted = " ".join(q.split())[:320]
    if (known := _as_uuid(wanted)) is not None:
        with transaction() as conn:
            is_account = known in account_names(conn, [known])
        return page.go(f"/accounts/{known}" if is_account else f"/jobs/{known}")
    return page.to(found_at(wanted))


def found_at(wanted: str) -> str:
    """The page that has what somebody looks for, by how it is written."""
    name, colon, value = wanted.partition(":")
    if colon and name in SHORTHANDS and value.strip():
        return CONSOLE_SITE.link("/jobs", **{"account_id" if name == "account" else name: value.strip()})
    if "@" in wanted and " " not in wanted:
        return CONSOLE_SITE.link("/accounts", email=wanted)
    return CONSOLE_SITE.link("/jobs", text=wanted[: finding.MAX_TEXT]) if wanted else CONSOLE_SITE.link("/jobs")


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
