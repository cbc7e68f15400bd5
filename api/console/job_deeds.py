"""What operators do to jobs: to one, or to all that fit a filter, after a dry run that says how many and how many credits."""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args
from uuid import UUID

from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.console.jobs import FILTERS, chips_of, filter_given
from api.console.site import CONSOLE_SITE, Viewed, console_router
from api.routes.cursors import WantedPage, id_of
from api.sites.forms import REASON, ActForm, FormField, ask_first, carry_out, done_once
from api.sites.rendering import SitePage
from api.sites.routing import Actor, Fields, Posted, shaped
from api.sites.wording import number
from api.v1.admin_accounts import Because
from api.v1.admin_bulk import BULK_RUNS
from api.v1.admin_job_acts import JobRefund, after_act
from common.errors import InvalidInput, InvalidParameter, NotFound
from models.access.audit_log import By
from models.db import snapshot, transaction
from models.operations import bulk, fleet_acts, job_acts
from models.operations.bulk import BulkAct, BulkRow
from models.operations.job_acts import Acted, Why
from models.operations.story import Story, story

router = console_router()

JobDeed = Literal["retry", "refund", "discard", "cancel", "replay"]
PAGE_RUNS = 25


class DeedWords(NamedTuple):
    """How a deed is spoken of."""

    title: str
    button: str
    says: str
    done: str
    danger: bool = False


WORDS: dict[JobDeed, DeedWords] = {
    "retry": DeedWords("Order this job again", "Order again", "As a new job of the same account, with the same input, at today's price.", "retried"),
    "refund": DeedWords("Give back what it was charged", "Give back", "Once, as credits that name the job. What was spent stays spent in the ledger.", "refunded"),
    "discard": DeedWords("Give this job up", "Give up", "Its answer was lost: it fails now and is refunded. If the provider made something, nobody gets it.", "discarded", danger=True),
    "cancel": DeedWords("Cancel this job", "Cancel the job", "Refunded at once if it has not started; else it is asked to stop, and the model says what it costs.", "canceled", danger=True),
    "replay": DeedWords("Tell its webhooks again", "Send again", "All deliveries of its events, with the same webhook-id. Endpoints that are off are left out.", "sent"),
}  # fmt: skip
AGAIN_SAYS = "Its answer was lost: it is asked for again from the beginning. Find out at the provider first that it began nothing, or it is paid twice."
BULK_WORDS: dict[BulkAct, tuple[str, str]] = {
    "retry": ("Retry", "reserved at the old prices"), "refund": ("Refund", "given back"),
    "discard": ("Give up", "given back"), "cancel": ("Cancel", "reserved now"),
}  # fmt: skip


@router.get("/jobs/{job_id}/{deed}")
def ask_deed(page: Viewed, job_id: str, deed: str) -> Response:
    """Before something is done to one job."""
    return ask_first(page, deed_form(_known(deed), _story(job_id)))


@router.post("/jobs/{job_id}/{deed}")
def do_deed(page: Viewed, actor: Actor, fields: Posted, job_id: str, deed: str) -> Response:
    """Do it, and ring the workers afterwards."""
    wanted, found = _known(deed), _story(job_id)
    form, done = deed_form(wanted, found), list[Acted]()

    def verb(conn: Connection[object]) -> None:
        done[:] = _acted(conn, wanted, actor, fields, found.job.id)

    answer = carry_out(page, form, fields, lambda: done_once(page, form, fields, verb), WORDS[wanted].done)
    for each in done:
        after_act(each)
    if wanted == "retry" and done and done[0].new_job_id is not None:
        return page.go(f"/jobs/{done[0].new_job_id}", done="retried")
    return answer


def _acted(conn: Connection[object], deed: JobDeed, actor: By, fields: Fields, job_id: UUID) -> list[Acted]:
    why = Why(actor, shaped(Because, fields, "reason").reason)
    if deed == "replay":
        fleet_acts.replay_job(conn, actor, job_id, why.reason)
        return []
    if deed == "refund":
        amount = shaped(JobRefund, fields, "amount", "reason").amount
        return [job_acts.refund_job(conn, why, job_id, amount=amount)]
    acts: dict[str, Callable[[Connection[object], Why, UUID], Acted]] = {
        "retry": job_acts.retry_job, "discard": job_acts.discard_job, "cancel": job_acts.cancel_job
    }  # fmt: skip
    return [acts[deed](conn, why, job_id)]


def _known(deed: str) -> JobDeed:
    for each in get_args(JobDeed):
        if each == deed:
            known: JobDeed = each
            return known
    raise NotFound(f"nothing called {deed[:40]!r} is done to jobs")


def _story(job_id: str) -> Story:
    wanted = id_of(job_id, "job")
    with snapshot() as conn:
        return story(conn, wanted)


def deed_form(deed: JobDeed, found: Story) -> ActForm:
    """The page that asks before something is done to one job."""
    words, job = WORDS[deed], found.job
    path = f"/jobs/{job.id}"
    charged = job.charged_credits or 0
    amount = FormField(
        "amount", "Credits", "number", str(charged), hint=f"At most the {number(charged)} that it was charged.", most=12
    )
    figures = {
        "retry": ((number(job.price_credits), "credits it reserved then"),),
        "refund": ((number(charged), "credits it was charged"),),
        "discard": ((number(job.price_credits), "credits are refunded"),),
        "cancel": ((number(job.price_credits), "credits are reserved"),),
        "replay": ((number(len(found.deliveries)), "deliveries"),),
    }[deed]
    again = deed == "retry" and found.run is not None
    return ActForm(
        "Try this job again" if again else words.title, AGAIN_SAYS if again else words.says, f"{path}/{deed}", path,
        "Try again" if again else words.button, fields=(amount, REASON) if deed == "refund" else (REASON,), figures=figures,
        danger=words.danger or again, active="jobs",
    )  # fmt: skip


# Many jobs


@router.get("/bulk/new")
def ask_bulk(page: Viewed, request: Request, act: str = "retry") -> Response:
    """The dry run: how many jobs fit, and how many credits that is about."""
    given = {name: value for name, value in request.query_params.items() if value.strip()}
    return ask_first(page, bulk_form(page, _known_act(act), given), given)


@router.post("/bulk")
def begin_bulk(page: Viewed, actor: Actor, fields: Posted) -> Response:
    """Order the run; the scheduler carries it out, job by job."""
    act = _known_act(fields.get("act", ""))
    form = bulk_form(page, act, fields)
    made = list[UUID]()

    def verb(conn: Connection[object]) -> None:
        reason = shaped(Because, fields, "reason").reason
        made[:] = [bulk.start(conn, actor, act, filter_given(fields, page.now), reason).id]

    answer = carry_out(page, form, fields, lambda: done_once(page, form, fields, verb), "begun")
    return page.go(f"/bulk/{made[0]}", done="begun") if made else answer


def bulk_form(page: SitePage, act: BulkAct, given: Fields) -> ActForm:
    """The page of a dry run. Raises InvalidParameter, InvalidInput for a filter that leads nowhere."""
    kept = {name: given[name] for name in FILTERS if given.get(name, "").strip()}
    try:
        wanted = filter_given({**given, **kept}, page.now)
        chosen = bulk.fitted(act, wanted)
        with transaction() as conn:
            counted = bulk.count(conn, act, wanted)
    except InvalidInput as error:
        raise InvalidParameter(error.detail, param=error.param) from None
    word, about = BULK_WORDS[act]
    what = "; ".join(f"{name.lower()} {value[:60]}" for name, value, _ in chips_of({**kept, **_span(given)}))
    says = f"All jobs that are {chosen.status}{', with ' + what if what else ', of all accounts'}. The scheduler does it job by job, each once; it can be stopped."
    hidden = tuple(FormField(name, "", "hidden", value) for name, value in {**kept, **_span(given), "act": act}.items())
    jobs = "1 job" if counted.jobs == 1 else f"{counted.jobs:,} jobs"
    return ActForm(
        f"{word} {jobs}", says, "/bulk", CONSOLE_SITE.link("/jobs", **kept, **_span(given)).partition("/console")[2], f"{word} {jobs}",
        fields=(*hidden, REASON), figures=((number(counted.jobs), "jobs fit now"), (number(counted.credits), f"credits, {about}")),
        left_out=("What has changed by its turn is passed over, and counted with the reason.",), danger=act != "retry", active="jobs",
    )  # fmt: skip


def _span(given: Fields) -> Fields:
    return {"span": given["span"]} if given.get("span") else {}


def _known_act(act: str) -> BulkAct:
    for each in get_args(BulkAct):
        if each == act:
            known: BulkAct = each
            return known
    raise NotFound(f"nothing called {act[:40]!r} is done to many jobs")


@router.get("/bulk")
def show_runs(page: Viewed, request: Request) -> Response:
    """Runs, newest first."""
    cursor = request.query_params.get("cursor")
    wanted = WantedPage(None if cursor is None else BULK_RUNS.place_of(cursor), PAGE_RUNS)
    with transaction() as conn:
        rows = bulk.list_runs(conn, before=wanted.after, limit=wanted.reads)
    shown, more = rows[: wanted.limit], len(rows) > wanted.limit
    return page.show(
        "runs.html", rows=shown, words=BULK_WORDS, newest=CONSOLE_SITE.link("/bulk") if cursor else None,
        following=CONSOLE_SITE.link("/bulk", cursor=BULK_RUNS.cursor_of(shown[-1].id)) if more else None,
    )  # fmt: skip


@router.get("/bulk/{run_id}")
def show_run(page: Viewed, run_id: str) -> Response:
    """How far a run has come."""
    return page.show("run.html", run=_run(run_id), words=BULK_WORDS)


@router.get("/bulk/{run_id}/{move}")
def ask_move(page: Viewed, run_id: str, move: str) -> Response:
    """Before a run is stopped, or goes on."""
    return ask_first(page, move_form(_run(run_id), move))


@router.post("/bulk/{run_id}/{move}")
def move_run(page: Viewed, actor: Actor, fields: Posted, run_id: str, move: str) -> Response:
    """Stop it where it is, or let it go on from there."""
    run = _run(run_id)
    form = move_form(run, move)

    def verb(conn: Connection[object]) -> None:
        reason = shaped(Because, fields, "reason").reason
        (bulk.stop if move == "stop" else bulk.go_on)(conn, actor, run.id, reason)

    return carry_out(
        page, form, fields, lambda: done_once(page, form, fields, verb), "stopped" if move == "stop" else "resumed"
    )


def move_form(run: BulkRow, move: str) -> ActForm:
    """The page that asks before a run is moved. Raises NotFound."""
    path = f"/bulk/{run.id}"
    figures = ((number(run.done), "done"), (number(run.skipped), "passed over"), (number(run.left), "left"))
    if move == "stop":
        return ActForm(
            "Stop this run",
            "What was done stays done; it can go on from here.",
            f"{path}/stop",
            path,
            "Stop it",
            figures=figures,
            danger=True,
            active="jobs",
        )
    if move == "resume":
        return ActForm(
            "Let this run go on",
            "From where it was stopped.",
            f"{path}/resume",
            path,
            "Go on",
            figures=figures,
            active="jobs",
        )
    raise NotFound(f"nothing called {move[:40]!r} is done to runs")


def _run(run_id: str) -> BulkRow:
    wanted = id_of(run_id, "bulk run")
    with transaction() as conn:
        return bulk.run(conn, wanted)
