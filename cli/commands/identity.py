"""Keys, roles, announcements and the audit log, for an operator at the command line."""

import getpass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from cli.output import JsonFlag, fail, show
from cli.whose import WAYS, account_named
from models import db
from models.access import api_keys, audit_log
from models.access.scopes import DEFAULT_SCOPES, ROLES
from models.accounts import accounts
from models.events import announcements

app = typer.Typer()


def operator() -> "audit_log.By":
    """Who acts at this command line, as the audit log has it."""
    return audit_log.By(f"command line: {getpass.getuser()}")


@app.command()
def keys(
    account_id: Annotated[UUID, typer.Option("--account", "-a", help=WAYS, parser=account_named, metavar="ACCOUNT")],
    name: Annotated[str | None, typer.Option(help="Make a key for this.")] = None,
    scopes: Annotated[str, typer.Option(help="Separated by commas.")] = ",".join(DEFAULT_SCOPES),
    models: Annotated[str | None, typer.Option(help="Only these models, separated by commas.")] = None,
    per_minute: Annotated[int | None, typer.Option(min=1, help="Requests per minute.")] = None,
    monthly_credits: Annotated[int | None, typer.Option(min=0, help="What its jobs may cost in a month.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
    rotate: Annotated[UUID | None, typer.Option(help="Make a key like this one, which works a while longer.")] = None,
    overlap_hours: Annotated[int, typer.Option(min=0, max=720)] = 24,
    revoke: Annotated[UUID | None, typer.Option(help="Take the key with this id out of use.")] = None,
    as_json: bool = JsonFlag,
) -> None:
    """List an account's API keys; make one (it is shown once), rotate one, or revoke one."""
    if sum(each is not None for each in (name, rotate, revoke)) > 1:
        raise fail("one of --name, --rotate and --revoke")
    with db.transaction() as conn:
        if name:
            wanted = api_keys.NewKey(
                name, _split(scopes), _split(models) if models else None, per_minute, monthly_credits,
                datetime.now(UTC) + timedelta(days=days) if days else None,
            )  # fmt: skip
            key_id, secret = api_keys.create(conn, account_id, wanted)
            audit_log.record(conn, operator(), "key.create", str(key_id), name=name, scopes=wanted.scopes)
        elif rotate:
            key_id, secret = api_keys.rotate(conn, account_id, rotate, overlap_hours)
            audit_log.record(conn, operator(), "key.rotate", str(rotate), new=str(key_id), overlap_hours=overlap_hours)
        elif revoke:
            api_keys.revoke(conn, revoke, account_id=account_id)
            audit_log.record(conn, operator(), "key.revoke", str(revoke))
            show([{"key_id": revoke, "revoked": True}], as_json=as_json)
            return
        else:
            rows = [each._asdict() for each in api_keys.list_keys(conn, account_id)]
            shown = rows if as_json else [{name: row[name] for name in row if name != "root_id"} for row in rows]
            show(shown, as_json=as_json, empty="no keys")
            return
    title = "Keep the secret now: it is not shown again"
    show([{"key_id": key_id, "secret": secret}], as_json=as_json, title=title, lines=True)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@app.command()
def role(
    user_id: Annotated[UUID, typer.Argument(help="A user's id; see `headrace users`.")],
    new: Annotated[str, typer.Argument(help="user, pro or admin")],
    as_json: bool = JsonFlag,
) -> None:
    """Change a user's role."""
    chosen = next((each for each in ROLES if each == new), None)
    if chosen is None:
        raise fail(f"role is one of {', '.join(ROLES)}")
    with db.transaction() as conn:
        accounts.change_role(conn, operator(), user_id, chosen)
        found = accounts.user(conn, user_id)
    show([found._asdict()], as_json=as_json)


@app.command()
def announce(
    title: Annotated[str | None, typer.Argument(help="Its headline; without one, announcements are listed.")] = None,
    body: Annotated[str, typer.Argument(help="Its text.")] = "",
    plan: Annotated[str | None, typer.Option(help="Only accounts on this plan.")] = None,
    as_json: bool = JsonFlag,
) -> None:
    """Announce something to every account; the scheduler tells them. Or see how far announcements have come."""
    with db.transaction() as conn:
        if title is None:
            found = announcements.list_announcements(conn)
        else:
            found = [announcements.create(conn, operator(), title, body, plan)]
    show([each._asdict() for each in found], as_json=as_json, empty="nothing was announced")


@app.command(name="acts")
def list_acts(
    subject: Annotated[str | None, typer.Option(help="What was acted on, such as a user's or a key's id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: bool = JsonFlag,
) -> None:
    """Read the audit log: who did what, when and from where."""
    with db.transaction() as conn:
        found = audit_log.list_acts(conn, subject=subject, limit=limit)
    show([each._asdict() for each in found], as_json=as_json, empty="nothing was done")
