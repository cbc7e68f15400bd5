"""`headrace parked`: jobs whose provider's answer was lost, for an operator to decide."""

from typing import Annotated
from uuid import UUID

import typer

from cli.commands.identity import operator
from cli.output import JsonFlag, fail, show
from models import db
from models.access import audit_log
from models.jobs import reconcile
from workers import doorbell
from workers.calls import limits

app = typer.Typer()


@app.command()
def parked(
    again: Annotated[UUID | None, typer.Option(help="This job never began at its provider: try it again.")] = None,
    give_up: Annotated[UUID | None, typer.Option(help="Give this job up: it fails and is refunded.")] = None,
    as_json: bool = JsonFlag,
) -> None:
    """List jobs whose provider's answer was lost and cannot be asked for; or decide on one after a look at the provider."""
    if again and give_up:
        raise fail("either --again or --give-up")
    job_id = again or give_up
    if job_id is None:
        with db.transaction() as conn:
            found = reconcile.list_parked(conn)
        show([each._asdict() for each in found], as_json=as_json, empty="no parked jobs")
        return
    with db.transaction() as conn:
        done = reconcile.decide(conn, job_id, again=again is not None)
        audit_log.record(conn, operator(), "job.decide", str(job_id), again=again is not None)
    doorbell.ring(done.ended.rings)
    if done.slot is not None:
        limits.pressure().release(*done.slot)
    show([{"job": job_id, "now": done.ended.ended}], as_json=as_json)
