"""`headrace ops`: what operators see of all jobs, and of the processes that do them."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError

from cli.output import JsonFlag, console, fail, print_json, show
from models import db
from models.fleet import processes
from models.operations import finding, overview, story

app = typer.Typer()

WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where", "-w", metavar="NAME=VALUE",
        help="account, status, model, queue, label, error, provider, since, until, text. Several: all must fit.",
    ),
]  # fmt: skip


def chosen(where: Sequence[str] | None) -> "finding.JobFilter":
    """The filter that a command's options make. Exits where one is wrong."""
    fields: dict[str, str] = {}
    for each in where or ():
        name, given, value = each.partition("=")
        if not given or name in fields:
            raise fail(f"--where {each[:80]}: {'twice' if given else 'it is NAME=VALUE, such as status=failed'}")
        fields[name] = value
    if "account" in fields:
        fields["account_id"] = fields.pop("account")
    try:
        return finding.JobFilter.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]).removesuffix("_id")
        raise fail(f"--where {name}: {first['msg'].removeprefix('Value error, ')}") from None


@app.command()
def queues(as_json: bool = JsonFlag) -> None:
    """Depth, in flight, waiting, oldest age and throughput per queue, and the accounts with the longest lines."""
    with db.snapshot() as conn:
        found = overview.overview(conn)
    if as_json:
        print_json(found.model_dump())
        return
    for row in found.queues:
        show(
            [{"field": name, "value": value} for name, value in row.model_dump().items()],
            as_json=False,
            title=row.queue,
        )
    waiting = [row.model_dump() for row in found.waiting_accounts]
    show(waiting, as_json=False, title="Longest lines", empty="nobody waits for a slot")


@app.command()
def workers(as_json: bool = JsonFlag) -> None:
    """The worker processes: machine, process, version, heartbeat and what each is at."""
    with db.transaction() as conn:
        found = processes.workers(conn)
    if as_json:
        print_json(found)
        return
    show([{**row, "jobs": len(row["jobs"])} for row in found], as_json=False, empty="no worker is running")


@app.command()
def find(
    where: WhereOption = None,
    before: Annotated[UUID | None, typer.Option(help="Go on from here, as the last look said.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: bool = JsonFlag,
) -> None:
    """Find jobs of all accounts, newest first. One look reads 10,000 jobs, and says where to go on."""
    wanted = chosen(where)
    with db.transaction() as conn:
        rows, following = finding.find_jobs(conn, wanted, before=before, limit=limit)
    if as_json:
        print_json({"jobs": [row._asdict() for row in rows], "next": following})
        return
    columns = ("id", "account_id", "status", "model", "provider", "error", "created_at")
    show([{name: row._asdict()[name] for name in columns} for row in rows], as_json=False, empty="none of these")
    if following:
        console.print(f"There may be more: --before {following}", highlight=False)


@app.command("story")
def tell_story(job_id: Annotated[UUID, typer.Argument(help="A job's id.")], as_json: bool = JsonFlag) -> None:
    """All that is stored of one job: attempts, credits, events, deliveries, files, and what operators did."""
    with db.snapshot() as conn:
        found = story.story(conn, job_id)
    if as_json:
        print_json(found.model_dump())
        return
    for title, rows in _parts(found):
        show(rows, as_json=False, title=title, empty=f"{title}: none")


def _parts(found: "story.Story") -> list[tuple[str, list[dict[str, Any]]]]:
    """A story as tables: one thing as its fields, several as rows."""
    parts = []
    for name, value in found.model_dump().items():
        if isinstance(value, dict):
            rows = [{"field": field, "value": each} for field, each in value.items() if each is not None]
        else:
            rows = [each if isinstance(each, dict) else {"id": each} for each in value or []]
        parts.append((name, rows))
    return parts
