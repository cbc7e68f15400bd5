"""Commands of an operator: they speak to the database that DATABASE_URL (or a running `headrace up`) names."""

import time
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from uuid_utils.compat import uuid7

from api.orders import told
from cli import doctor
from cli.commands.identity import operator
from cli.output import JsonFlag, console, errors, fail, print_json, show
from cli.whose import WAYS, account_named
from common.labels import label_of
from models import db
from models.access import audit_log
from models.catalogue import entries
from models.credits import audit, proofs
from models.fleet import processes
from models.jobs import admission, cancel, dispatch, queues, reads, submit
from models.jobs.states import JobStatus
from models.schema import migrations, planning, prepare
from workers import doorbell
from workers.calls import standing

app = typer.Typer()
JobId = Annotated[UUID, typer.Argument(help="A job's id.")]


def _label(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        label_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


@app.command()
def migrate(
    pre: Annotated[
        bool,
        typer.Option("--pre", help="Only what processes of the release before can live with: run it before a deploy."),
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what is pending, and which tables it locks against whom.")
    ] = False,
    as_json: bool = JsonFlag,
) -> None:
    """Bring the schema up to date; load the plans, and the standard catalogue into an empty one."""
    if plan:
        show(_planned(), as_json=as_json, empty="up to date")
        return
    if pre:
        show([{"schema": migrations.upgrade(before_post=True) or "empty"}], as_json=as_json)
        return
    changes = prepare.prepare()
    show([{"model": name, "change": change} for name, change in changes.items()], as_json=as_json, empty="up to date")


def _planned() -> list[dict[str, Any]]:
    """A row for each table that a pending migration touches, and one for each that touches none that is in use."""
    pending = migrations.pending()
    sizes = migrations.sizes({step.table for each in pending for step in each.steps if step.table is not None})
    unfelt = [planning.Step("", None, planning.Effect.NOTHING)]
    return [
        {
            "revision": each.revision, "deploy": each.deploy, "about": each.about, "table": step.table,
            "bytes": sizes.get(step.table or ""), "does": step.does, "others": step.effect.value,
        }
        for each in pending for step in each.steps or unfelt
    ]  # fmt: skip


@app.command()
def jobs(
    account_id: Annotated[
        UUID | None, typer.Option("--account", "-a", help=WAYS, parser=account_named, metavar="ACCOUNT")
    ] = None,
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs that stand so.")] = None,
    model: Annotated[str | None, typer.Option()] = None,
    label: Annotated[
        str | None, typer.Option(help="Only those with this label: NAME:VALUE, such as customer:acme.", callback=_label)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: bool = JsonFlag,
) -> None:
    """List jobs, newest first."""
    wanted = dict([label_of(label)]) if label is not None else None
    with db.transaction() as conn:
        rows = reads.list_jobs(conn, account_id, status=status, model_id=model, label=wanted, limit=limit)
    if as_json:
        print_json([{"account": row.account_id, **told.job_view(row)} for row in rows])
        return
    show(
        [
            {
                "job": row.id, "account": row.account_id, "status": told.status_of(row), "model": row.model_id,
                "labels": ", ".join(f"{name}:{value}" for name, value in (row.labels or {}).items()) or None,
                "charged": row.charged_credits, "error": row.error_code, "created": row.created_at,
                "reserved": row.price_credits, "queue": row.queue, "attempts": row.attempts,
            }
            for row in rows
        ],
        as_json=False,
        empty="no jobs",
    )  # fmt: skip


@app.command()
def job(job_id: JobId, as_json: bool = JsonFlag) -> None:
    """Look into one job: what it is, its attempts and its ledger entries."""
    from models.credits.reads import entries_of_job  # noqa: PLC0415 - two modules are called reads; and see cli.later

    with db.transaction() as conn:
        row = reads.jobs_by_id(conn, [job_id]).get(job_id)
        if row is None:
            raise fail(f"no job {job_id}")
        attempts = reads.attempts(conn, job_id)
        entries = entries_of_job(conn, job_id)
    if as_json:
        print_json({"account": row.account_id, **told.job_view(row), "provider_attempts": attempts, "entries": entries})
        return
    view = {"account": row.account_id, **told.job_view(row)}
    outputs = view.pop("outputs")
    show([{"field": name.replace("_", " "), "value": value} for name, value in view.items()], as_json=False)
    for output in outputs:
        console.print(output["url"], soft_wrap=True)
    show(attempts, as_json=False, title="Attempts", empty="no attempt yet")
    show(entries, as_json=False, title="Ledger entries", empty="no ledger entry: the price was 0")


@app.command("queues")
def show_queues(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second until Ctrl-C.")] = False,
    as_json: bool = JsonFlag,
) -> None:
    """Depth, in flight, waiting and oldest age per queue, and the workers that serve them."""
    if as_json or not watch:
        with db.transaction() as conn:
            rows, workers = [row._asdict() for row in queues.read_queues(conn)], processes.workers(conn)
        how_they_stand = standing.provider_rows()
        if as_json:
            print_json({"queues": rows, "workers": workers, "providers": how_they_stand})
            return
        show(rows, as_json=False, title="Queues")
        show(workers, as_json=False, title="Workers", empty="no worker is running: start one with `python -m workers`")
        show(how_they_stand, as_json=False, title="Providers", empty="redis is away: nobody knows how providers stand")
        return
    with Live(console=console, refresh_per_second=4) as live:
        while True:
            with db.transaction() as conn:
                live.update(_queue_table([row._asdict() for row in queues.read_queues(conn)]))
            time.sleep(1)


def _queue_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Queues (Ctrl-C ends)", title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="left" if name == "queue" else "right")
    for row in rows:
        table.add_row(*(f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values()))
    return table


@app.command()
def retry(job_id: JobId, as_json: bool = JsonFlag) -> None:
    """Order an ended job again, as a new job that names it (`retry_of`), at today's price and without a priority."""
    with db.transaction() as conn:
        row = reads.jobs_by_id(conn, [job_id]).get(job_id)
        if row is None:
            raise fail(f"no job {job_id}")
        if row.ended is None:
            raise fail(f"job {job_id} has not ended; only an ended job can be ordered again")
        offer = entries.offers(conn).get(row.model_id)
        if offer is None:
            raise fail(f"model {row.model_id} is no longer offered")
        order = admission.Order(
            uuid7(),
            row.account_id,
            offer,
            offer.checked(row.given()),
            queue=row.queue,
            retry_of=job_id,
            webhook=reads.webhook(conn, job_id),
            labels=row.labels,
        )
        answer = submit.submit(conn, [order], wait=True)[0]
        if isinstance(answer, admission.Accepted):
            audit_log.record(
                conn, operator(), "job.retry", str(job_id), job=answer.job_id, reserved=answer.price_credits
            )
    if not isinstance(answer, admission.Accepted):
        raise fail(f"not ordered: {answer}")
    if answer.dispatched:
        doorbell.ring([dispatch.Ring(answer.job_id, answer.queue)])
    show([{"job": answer.job_id, "retry_of": job_id, "reserved": answer.price_credits}], as_json=as_json)


@app.command("cancel")
def cancel_job(job_id: JobId, as_json: bool = JsonFlag) -> None:
    """Cancel a job: refunded at once if it has not started, else asked to stop."""
    with db.transaction() as conn:
        canceled = cancel.cancel(conn, job_id)
        audit_log.record(conn, operator(), "job.cancel", str(job_id), ended=canceled.ended)
    doorbell.ring(canceled.rings)
    show([{"job": job_id, "canceled": canceled.ended, "asked_to_stop": not canceled.ended}], as_json=as_json)


def _findings() -> "list[audit.Finding]":
    """All parts of the proof, with a bar on a terminal. Each rule is one statement a range of accounts, so no snapshot is held for long."""
    with db.transaction() as conn:
        parts = [part for each in proofs.account_ranges(conn) for part in proofs.round_parts(*each)]
    found = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        for part in progress.track(parts, description="rules"):
            found += _prove_all_of(part)
    return proofs.merged(found)


def _prove_all_of(part: "proofs.ProofPart") -> "list[audit.Finding]":
    """A part; one that takes too long in halves, and these in theirs."""
    try:
        with db.transaction() as conn:
            found = proofs.prove_part(conn, part)
    except proofs.TooSlow as error:
        with db.transaction() as conn:
            parts = proofs.halves(conn, part)
        if not parts:
            raise fail(f"{error}, for account {part.until} alone; try again when the database has less to do") from None
        return [finding for each in parts for finding in _prove_all_of(each)]
    return [] if found is None else [found]


@app.command("audit")
def prove_books(as_json: bool = JsonFlag) -> None:
    """Prove the books: every credit is accounted for. Exits with 1 and names the rows where it does not hold."""
    findings = _findings()
    broken = {finding.rule: finding for finding in findings}
    if as_json:
        print_json({"clean": not findings, "findings": [finding._asdict() for finding in findings]})
    else:
        for rule in audit.RULES:
            mark = "[red]broken[/]" if rule.name in broken else "[green]holds[/]"
            lines = Table.grid(padding=(0, 2))  # a meaning of two lines stands beside its mark
            lines.add_row(mark, escape(rule.meaning))
            console.print(lines)
            for row in broken[rule.name].rows if rule.name in broken else []:
                console.print(f"         {row}", markup=False)
    if findings:
        raise typer.Exit(1)


@app.command("doctor")
def examine(as_json: bool = JsonFlag) -> None:
    """Check what the system needs: servers, schema, partitions, workers, duties, stuck jobs, deliveries."""
    checks = doctor.examine()
    show(checks, as_json=as_json)
    if not all(check["ok"] for check in checks):
        raise typer.Exit(1)
