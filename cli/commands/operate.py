"""Commands of an operator: they speak to the database that DATABASE_URL (or a running `headrace up`) names."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.live import Live
from rich.table import Table
from uuid_utils.compat import uuid7

from api.v1.jobs_shapes import job_view, status_of
from cli.output import JsonFlag, console, fail, print_json, show
from cli.redis_check import check_redis
from common import scratch
from common.redact import redacted
from common.settings import settings
from models import db
from models.accounts import accounts, subscriptions
from models.catalogue import entries as catalogue
from models.catalogue.providers import providers as all_providers
from models.connecting import Linked
from models.credits import audit as books
from models.credits import ledger
from models.db import transaction
from models.events import events, sending
from models.fleet import probes, processes
from models.jobs import cancel as canceling
from models.jobs import dispatch, reads, submit
from models.jobs.admission import Accepted, Order
from models.schema import prepare
from storage.s3 import StorageError, storage
from workers.calls import limits as pressure
from workers.doorbell import ring

app = typer.Typer()
JobId = Annotated[UUID, typer.Argument(help="A job's id.")]
Account = Annotated[UUID, typer.Option("--account", "-a", help="An account's id.")]


@app.command()
def migrate(as_json: bool = JsonFlag) -> None:
    """Bring the schema up to date; load the plans, and the standard catalogue into an empty one."""
    changes = prepare.prepare()
    show([{"model": name, "change": change} for name, change in changes.items()], as_json=as_json, empty="up to date")


@app.command()
def account(
    subject: Annotated[str, typer.Argument(help="Your own name for the user.")],
    email: Annotated[str | None, typer.Option()] = None,
    as_json: bool = JsonFlag,
) -> None:
    """Find or open an account, on the default plan with its sign-up credits."""
    with transaction() as conn:
        account_id, new = accounts.open_account(
            conn, issuer="local", subject=subject, default_plan=settings().default_plan, email=email
        )
        balance = reads.balance(conn, account_id)
    show([{"account": account_id, "new": new, **balance._asdict()}], as_json=as_json)


@app.command()
def grant(
    account_id: Account,
    amount: Annotated[int, typer.Argument(help="Credits.", min=1)],
    ref: Annotated[str | None, typer.Option(help="Makes the grant single: the same ref is granted once.")] = None,
    days: Annotated[int | None, typer.Option(help="Days until it expires.", min=1)] = None,
    kind: Annotated[str, typer.Option(help="gift, purchase or goodwill.")] = "gift",
    job: Annotated[UUID | None, typer.Option(help="The job that a goodwill refund is for.")] = None,
    as_json: bool = JsonFlag,
) -> None:
    """Give an account credits."""
    if kind not in ledger.GRANT_KINDS:
        raise fail(f"kind is one of {', '.join(ledger.GRANT_KINDS)}")
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with transaction() as conn:
        grant_id = ledger.grant(
            conn, account_id, kind=kind, amount=amount, ref=ref or f"cli:{uuid7()}", expires_at=expires_at, job_id=job
        )
        balance = reads.balance(conn, account_id)
    show([{"grant": grant_id, "new": grant_id is not None, "available": balance.available}], as_json=as_json)


@app.command()
def subscribe(
    account_id: Account,
    plan: Annotated[str, typer.Argument(help="A plan's id.")],
    interval: Annotated[str, typer.Option(help="monthly or yearly")] = "monthly",
    as_json: bool = JsonFlag,
) -> None:
    """Start or extend an account's subscription; the first month's credits are granted at once."""
    with transaction() as conn:
        subscription_id = subscriptions.subscribe(conn, account_id, plan, interval)
        rings = dispatch.dispatch(conn, account_id)
        balance = reads.balance(conn, account_id)
    ring(rings)
    show([{"subscription": subscription_id, "plan": balance.plan_id, "available": balance.available}], as_json=as_json)


@app.command()
def jobs(
    account_id: Annotated[UUID | None, typer.Option("--account", "-a")] = None,
    status: Annotated[str | None, typer.Option(help="queued, running, succeeded, failed or canceled")] = None,
    model: Annotated[str | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: bool = JsonFlag,
) -> None:
    """List jobs, newest first."""
    with transaction() as conn:
        rows = reads.list_jobs(conn, account_id, status=status, model_id=model, limit=limit)
    if as_json:
        print_json([{"account": row.account_id, **job_view(row)} for row in rows])
        return
    show(
        [
            {
                "job": row.id, "account": row.account_id, "status": status_of(row), "model": row.model_id,
                "queue": row.queue, "reserved": row.price_credits, "charged": row.charged_credits,
                "attempts": row.attempts, "created": row.created_at, "error": row.error_code,
            }
            for row in rows
        ],
        as_json=False,
        empty="no jobs",
    )  # fmt: skip


@app.command()
def job(job_id: JobId, as_json: bool = JsonFlag) -> None:
    """Look into one job: what it is, its attempts and its ledger entries."""
    with transaction() as conn:
        row = reads.jobs_by_id(conn, [job_id]).get(job_id)
        if row is None:
            raise fail(f"no job {job_id}")
        attempts = reads.attempts(conn, job_id)
        entries = reads.entries_of_job(conn, job_id)
    if as_json:
        print_json({"account": row.account_id, **job_view(row), "provider_attempts": attempts, "entries": entries})
        return
    view = {"account": row.account_id, **job_view(row)}
    show([{"field": name, "value": value} for name, value in view.items()], as_json=False)
    show(attempts, as_json=False, title="Attempts", empty="no attempt yet")
    show(entries, as_json=False, title="Ledger entries", empty="no ledger entry: the price was 0")


@app.command()
def queues(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second until Ctrl-C.")] = False,
    as_json: bool = JsonFlag,
) -> None:
    """Depth, in flight, waiting and oldest age per queue, and the workers that serve them."""
    if as_json or not watch:
        with transaction() as conn:
            rows, workers = [row._asdict() for row in reads.queues(conn)], processes.workers(conn)
        providers = _provider_rows()
        if as_json:
            print_json({"queues": rows, "workers": workers, "providers": providers})
            return
        show(rows, as_json=False, title="Queues")
        show(workers, as_json=False, title="Workers", empty="no worker is running: start one with `python -m workers`")
        show(providers, as_json=False, title="Providers", empty="redis is away: nobody knows how providers stand")
        return
    with Live(console=console, refresh_per_second=4) as live:
        while True:
            with transaction() as conn:
                live.update(_queue_table([row._asdict() for row in reads.queues(conn)]))
            time.sleep(1)


def _provider_rows() -> list[dict[str, Any]]:
    """How the providers stand; empty where Redis is away."""
    with transaction() as conn:
        limits = {name: entry.limits for name, entry in all_providers(conn).items()}
    return [
        {
            "provider": name, "slots_used": state.slots_used, "slots": limits[name].concurrency,
            "calls_last_minute": state.calls_last_minute, "per_minute": limits[name].per_minute, "faults": state.faults,
            "resting_seconds": state.resting_seconds, "limited_seconds": state.limited_seconds,
            "on_trial": state.half_open,
        }
        for name, state in (pressure.pressure().states(limits) or {}).items()
    ]  # fmt: skip


def _queue_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Queues (Ctrl-C ends)", title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="left" if name == "queue" else "right")
    for row in rows:
        table.add_row(*(f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values()))
    return table


@app.command()
def retry(job_id: JobId, as_json: bool = JsonFlag) -> None:
    """Order an ended job again, as a new job that names it (`retry_of`), at today's price."""
    with transaction() as conn:
        row = reads.jobs_by_id(conn, [job_id]).get(job_id)
        if row is None:
            raise fail(f"no job {job_id}")
        if row.ended is None:
            raise fail(f"job {job_id} has not ended; only an ended job can be ordered again")
        offer = catalogue.offers(conn).get(row.model_id)
        if offer is None:
            raise fail(f"model {row.model_id} is no longer offered")
        order = Order(
            uuid7(),
            row.account_id,
            offer,
            offer.checked(row.input),
            queue=row.queue,
            retry_of=job_id,
            webhook=reads.webhook(conn, job_id),
        )
        answer = submit.submit(conn, [order], wait=True)[0]
    if not isinstance(answer, Accepted):
        raise fail(f"not ordered: {answer}")
    if answer.dispatched:
        ring([dispatch.Ring(answer.job_id, answer.queue)], told=[row.account_id])
    show([{"job": answer.job_id, "retry_of": job_id, "reserved": answer.price_credits}], as_json=as_json)


@app.command()
def cancel(job_id: JobId, as_json: bool = JsonFlag) -> None:
    """Cancel a job: refunded at once if it has not started, else asked to stop."""
    with transaction() as conn:
        canceled = canceling.cancel(conn, job_id)
    ring(canceled.rings)
    show([{"job": job_id, "canceled": canceled.ended, "asked_to_stop": not canceled.ended}], as_json=as_json)


@app.command()
def audit(as_json: bool = JsonFlag) -> None:
    """Prove the books: every credit is accounted for. Exits with 1 and names the rows where it does not hold."""
    with transaction() as conn:
        findings = books.audit(conn)
    broken = {finding.rule: finding for finding in findings}
    if as_json:
        print_json({"clean": not findings, "findings": [finding._asdict() for finding in findings]})
    else:
        for rule in books.RULES:
            mark = "[red]broken[/]" if rule.name in broken else "[green]holds[/]"
            console.print(f"{mark:<16} {rule.meaning}")
            for row in broken[rule.name].rows if rule.name in broken else []:
                console.print(f"         {row}", markup=False)
    if findings:
        raise typer.Exit(1)


@app.command()
def doctor(as_json: bool = JsonFlag) -> None:
    """Check what the system needs: servers, schema, partitions, workers, duties, stuck jobs, deliveries."""
    checks = [_check("database", _doctor_database)]
    is_away = not checks[0]["ok"]
    for name, function in _CHECKS.items():
        if is_away and name not in _WITHOUT_DATABASE:  # each would wait for it anew
            checks.append({"check": name, "ok": False, "says": "not known while the database is away"})
        else:
            checks.append(_check(name, function))
    show(checks, as_json=as_json)
    if not all(check["ok"] for check in checks):
        raise typer.Exit(1)


def _check(name: str, function: Any) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "says": function()}
    except Exception as error:  # noqa: BLE001 - whatever is wrong is what this command is for
        return {"check": name, "ok": False, "says": redacted(f"{error}") or type(error).__name__}


def _doctor_database() -> str:
    db.reach()
    with transaction() as conn:
        row = conn.execute("select version(), pg_is_in_recovery(), current_setting('transaction_read_only')").fetchone()
    assert row is not None  # noqa: S101 - one row
    if row[1] or row[2] == "on":
        raise RuntimeError(f"it takes no writes ({'a standby' if row[1] else 'read-only'}): see DATABASE_URL")
    with transaction() as conn:
        probes.probe(conn)
        pooled = isinstance(conn, Linked) and conn.behind_pooler
    way = ", behind a pooler: settings go with each transaction, no statement is prepared" if pooled else ""
    return f"{str(row[0]).split(',')[0]}, a row was written{way}"


def _doctor_schema() -> str:
    from models.schema.migrations import differences

    found = differences()
    if found:
        raise RuntimeError(f"the schema differs from the code in {len(found)} places: run `headrace migrate`")
    return "up to date"


def _doctor_partitions() -> str:
    with transaction() as conn:
        ahead = events.partitions_ahead(conn)
    if ahead <= 1:
        raise RuntimeError(f"only {ahead} month of events has its partition: is a scheduler running?")
    return f"{ahead} months ahead"


def _doctor_storage() -> str:
    try:
        notes = storage().check()
    except StorageError as error:
        raise RuntimeError(f"{error}: check S3_ENDPOINT_URL, S3_BUCKET and the credentials") from None
    return "; these credentials may not ".join([f"put, read and deleted a probe in {settings().s3_bucket}", *notes])


def _doctor_temporary() -> str:
    try:
        free = scratch.check(settings().max_upload_bytes)
    except OSError as error:
        raise RuntimeError(
            f"{scratch.place()}: {error.strerror or error}; make room, or set TMPDIR to another folder"
        ) from None
    return f"{free // 1_000_000} MB are free in {scratch.place()}"


def _doctor_workers() -> str:
    with transaction() as conn:
        workers = processes.workers(conn)
    alive = [worker for worker in workers if worker["silent_seconds"] < settings().lease_seconds]
    if not alive:
        raise RuntimeError("no worker has been heard of: start `python -m workers`")
    maimed = [worker["id"] for worker in alive if worker["threads_alive"] < worker["threads"]]
    if maimed:
        raise RuntimeError(f"worker {maimed[0]} has lost threads: restart it")
    return f"{len(alive)} processes, {sum(worker['threads_alive'] for worker in alive)} threads"


def _doctor_duties() -> str:
    with transaction() as conn:
        duties = processes.duties(conn)
    if not duties:
        raise RuntimeError("no duty was ever done: start `python -m scheduler`")
    wrong = [duty for duty in duties if duty["error"] or duty["overdue_seconds"] > 120]
    if wrong:
        duty = wrong[0]
        raise RuntimeError(f"duty {duty['name']}: {duty['error'] or 'overdue, is a scheduler running?'}")
    return f"{len(duties)} duties in time"


def _doctor_providers() -> str:
    rows = _provider_rows()
    resting = [row for row in rows if row["resting_seconds"] > 0]
    if resting:
        row = resting[0]
        raise RuntimeError(f"{row['provider']} keeps failing and is rested for {row['resting_seconds']:.0f} s more")
    return f"none of {len(rows)} is resting" if rows else "not known while redis is away"


def _doctor_stuck() -> str:
    with transaction() as conn:
        stuck = books.stuck(conn)
    if stuck:
        raise RuntimeError(f"job {stuck[0]['job_id']} and {len(stuck) - 1} more are due, and nothing moves them")
    return "none"


def _doctor_deliveries() -> str:
    with transaction() as conn:
        late, seconds = sending.overdue(conn)
    if seconds > 60:
        raise RuntimeError(
            f"{late} receivers are due, one for {seconds:.0f} s: is `python -m workers.deliver` running?"
        )
    return f"{late} receivers are due" if late else "none are due"


_WITHOUT_DATABASE = {"redis", "storage", "temporary folder"}
_CHECKS = {
    "schema": _doctor_schema,
    "partitions": _doctor_partitions,
    "redis": check_redis,
    "storage": _doctor_storage,
    "temporary folder": _doctor_temporary,
    "workers": _doctor_workers,
    "duties": _doctor_duties,
    "providers": _doctor_providers,
    "stuck jobs": _doctor_stuck,
    "deliveries": _doctor_deliveries,
}
