"""`headrace ops retry`, `refund`, `discard`, `cancel`, `replay`, `rest`, `wake`, `drain`: what operators do, each with a reason."""

from typing import Annotated
from uuid import UUID

import typer

from cli.commands.holding import ReasonOption
from cli.commands.identity import operator
from cli.output import JsonFlag, fail, show
from models import db
from models.operations import fleet_acts, job_acts
from workers import doorbell
from workers.calls import limits

app = typer.Typer()

JobArgument = Annotated[UUID, typer.Argument(help="A job's id.")]
ProviderArgument = Annotated[str, typer.Argument(help="A provider of the catalogue.")]


def _act(act: "job_acts.JobAct", job_id: UUID, reason: str, *, as_json: bool) -> None:
    with db.transaction() as conn:
        done = act(conn, job_acts.Why(operator(), reason), job_id)
    after_act(done)
    show([{"job": done.job_id, "credits": done.credits, "new_job": done.new_job_id}], as_json=as_json)


def after_act(done: "job_acts.Acted") -> None:
    """What follows a committed act: workers are rung, and a provider's slot is free."""
    doorbell.ring(done.rings)
    if done.slot is not None:
        limits.pressure().release(*done.slot)


@app.command()
def retry(job_id: JobArgument, reason: ReasonOption, as_json: bool = JsonFlag) -> None:
    """Order an ended job again for its account, at today's price; or try a reconciling one again, that its provider never began."""
    _act(job_acts.retry_job, job_id, reason, as_json=as_json)


@app.command()
def refund(
    job_id: JobArgument,
    reason: ReasonOption,
    amount: Annotated[int | None, typer.Option(min=1, help="Less than all that it was charged.")] = None,
    as_json: bool = JsonFlag,
) -> None:
    """Give back what an ended job was charged, once."""
    _act(
        lambda conn, why, wanted: job_acts.refund_job(conn, why, wanted, amount=amount), job_id, reason, as_json=as_json
    )


@app.command()
def discard(job_id: JobArgument, reason: ReasonOption, as_json: bool = JsonFlag) -> None:
    """Give up a job whose provider's answer was lost: it fails and is refunded."""
    _act(job_acts.discard_job, job_id, reason, as_json=as_json)


@app.command()
def cancel(job_id: JobArgument, reason: ReasonOption, as_json: bool = JsonFlag) -> None:
    """Cancel a job: refunded at once if it has not started, else asked to stop."""
    _act(job_acts.cancel_job, job_id, reason, as_json=as_json)


@app.command()
def replay(job_id: JobArgument, reason: ReasonOption, as_json: bool = JsonFlag) -> None:
    """Send all webhooks of a job's events again."""
    with db.transaction() as conn:
        count = fleet_acts.replay_job(conn, operator(), job_id, reason)
    show([{"job": job_id, "deliveries": count}], as_json=as_json)


@app.command()
def rest(
    provider: ProviderArgument,
    reason: ReasonOption,
    seconds: Annotated[int, typer.Option(min=1, max=86_400)] = 600,
    as_json: bool = JsonFlag,
) -> None:
    """Ask nothing of a provider for so long; then one job tries it."""
    with db.transaction() as conn:
        fleet_acts.order_provider_act(conn, operator(), provider, "provider.rest", reason, seconds=seconds)
    _rest(provider, seconds, as_json=as_json)


@app.command()
def wake(provider: ProviderArgument, reason: ReasonOption, as_json: bool = JsonFlag) -> None:
    """Ask a provider again at once, whatever faults or limits it had."""
    with db.transaction() as conn:
        fleet_acts.order_provider_act(conn, operator(), provider, "provider.wake", reason)
    _rest(provider, 0, as_json=as_json)


def _rest(provider: str, seconds: int, *, as_json: bool) -> None:
    if not limits.pressure().rest(provider, seconds):
        raise fail("redis, which knows how providers stand, is away; try again soon")
    show([{"provider": provider, "resting_seconds": seconds}], as_json=as_json)


@app.command()
def drain(
    worker_id: Annotated[str, typer.Argument(help="As `headrace ops workers` names it.")],
    reason: ReasonOption,
    as_json: bool = JsonFlag,
) -> None:
    """Have a worker process take no more jobs, and end once those that it is at have come to theirs."""
    with db.transaction() as conn:
        fleet_acts.drain_worker(conn, operator(), worker_id, reason)
    show([{"worker": worker_id, "draining": True}], as_json=as_json)
