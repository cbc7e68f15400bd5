"""What accounts store, for an operator at the command line. Whatever takes something away has a reason."""

from typing import Annotated
from uuid import UUID

import typer

from api.v1 import outputs
from cli.commands.accounts import GivenReason
from cli.commands.identity import operator
from cli.commands.operate import JobId
from cli.output import JsonFlag, print_json, show
from cli.whose import WAYS, account_named
from models import db
from models.access import audit_log
from models.files import keeping, room
from models.gallery import indexing

app = typer.Typer()


def _index(number: int | None) -> int | None:
    if number is not None and number > keeping.MAX_INDEX:
        raise typer.BadParameter(f"at most {keeping.MAX_INDEX}, not {number}")
    return number


Index = Annotated[int, typer.Argument(help="Its place among the job's outputs.", min=0, callback=_index)]


@app.command()
def storage(
    account_id: Annotated[UUID, typer.Argument(help=WAYS, parser=account_named, metavar="ACCOUNT")],
    as_json: bool = JsonFlag,
) -> None:
    """What an account stores, of its quota, and its largest files."""
    with db.transaction() as conn:
        use = room.look(conn, account_id)
    if as_json:
        print_json(outputs.storage_view(use))
        return
    sums = {"used": use.used_bytes, "expected": use.expected_bytes, "quota": use.quota_bytes}
    show([sums], as_json=False, title="Bytes")
    show([each._asdict() for each in use.kinds if each.files], as_json=False, title="Of each kind")
    show([each._asdict() for each in use.largest], as_json=False, title="The largest")


@app.command(name="delete-outputs")
def delete_outputs(
    job_id: JobId,
    reason: GivenReason,
    index: Annotated[int | None, typer.Option(help="Only this one.", min=0, callback=_index)] = None,
    as_json: bool = JsonFlag,
) -> None:
    """Delete a job's results, all or one; its account's storage is given back. Again it changes nothing."""
    with db.transaction() as conn:
        deleted = keeping.delete(conn, keeping.owner(conn, job_id), job_id, index)
        indexing.forget_deleted(conn, job_id)
        audit_log.record(conn, operator(), "results.delete", str(job_id), index=index, deleted=deleted, reason=reason)
    show([{"job": job_id, "deleted": deleted}], as_json=as_json)


@app.command(name="keep-output")
def keep_output(
    job_id: JobId,
    index: Index,
    reason: GivenReason,
    undo: Annotated[bool, typer.Option("--undo", help="Leave it to its plan's time again.")] = False,
    as_json: bool = JsonFlag,
) -> None:
    """Keep a result past its plan's time, until it is deleted. Again it changes nothing."""
    with db.transaction() as conn:
        act = keeping.let_go if undo else keeping.keep
        shown = act(conn, keeping.owner(conn, job_id), job_id, index)
        audit_log.record(
            conn, operator(), "results.let_go" if undo else "results.keep", str(job_id), index=index, reason=reason
        )
    show([{"job": job_id, "index": index, "kept": shown["kept"], "expires_at": shown["expires_at"]}], as_json=as_json)
