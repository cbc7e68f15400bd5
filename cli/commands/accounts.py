"""Accounts, their credits and plans, for an operator at the command line. Whatever moves money or shuts out has a reason."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from cli.commands.identity import operator
from cli.output import JsonFlag, fail, show
from cli.whose import WAYS, account_named, refuse_second
from common.settings import settings
from models import db
from models.access import audit_log
from models.accounts import accounts, paid_periods, plan_changes, standing
from models.catalogue.kinds import KINDS
from models.credits import ledger, reads
from models.identity import acting
from models.jobs import dispatch
from workers import doorbell

app = typer.Typer()
MAX_NAMES, MAX_NAME = 50, 100  # as over HTTP


def _reason(text: str) -> str:
    if not text.strip() or len(text) > audit_log.MAX_REASON:
        raise typer.BadParameter(f"say why, in 1 to {audit_log.MAX_REASON} characters")
    return text


def _names(names: list[str] | None) -> list[str]:
    if len(names or ()) > MAX_NAMES:
        raise typer.BadParameter(f"at most {MAX_NAMES}, not {len(names or ())}")
    for each in names or ():
        if not 1 <= len(each) <= MAX_NAME:
            raise typer.BadParameter(f"a model's name has 1 to {MAX_NAME} characters, not {len(each)}")
    return names or []


def _priority(number: int) -> int:
    if number > ledger.MAX_PRIORITY:
        raise typer.BadParameter(f"at most {ledger.MAX_PRIORITY}, not {number}")
    return number


def _kinds(kinds: list[str] | None) -> list[str]:
    for each in kinds or ():
        if each not in KINDS:
            raise typer.BadParameter(f"one of {', '.join(KINDS)}, not {each[:MAX_NAME]!r}")
    return sorted(set(kinds or ()))


AccountId = Annotated[UUID, typer.Option("--account", "-a", help=WAYS, parser=account_named, metavar="ACCOUNT")]
AccountArgument = Annotated[UUID, typer.Argument(help=WAYS, parser=account_named, metavar="ACCOUNT")]
GivenReason = Annotated[str, typer.Option("--reason", help="Why, for the audit log.", callback=_reason)]


@app.command()
def account(
    subject: Annotated[str, typer.Argument(help="The user's id at the issuer; your own name for a user of `local`.")],
    issuer: Annotated[str, typer.Option(help="Who vouches for the user: an issuer's address, or `local`.")] = "local",
    email: Annotated[str | None, typer.Option()] = None,
    plan: Annotated[str | None, typer.Option(help="A plan's id; the default plan if absent.")] = None,
    another: Annotated[bool, typer.Option("--another", help="Also where this address has an account.")] = False,
    as_json: bool = JsonFlag,
) -> None:
    """Find or open an account, on the default plan or another, with its sign-up credits."""
    if not another:
        refuse_second(issuer, subject, email)
    with db.transaction() as conn:
        found, new = standing.open_by_hand(
            conn, operator(), issuer=issuer, subject=subject, email=email, plan=plan or settings().default_plan
        )
        balance = reads.expire_and_read_balance(conn, found.account_id)
    opened = {"account": found.account_id, "new": new}
    if as_json:
        show([{**opened, **balance._asdict()}], as_json=True)
        return
    held = {"plan": balance.plan_id, "available": balance.available, "reserved": balance.reserved}
    owed = {"debt": balance.debt} if balance.debt else {}
    show([{**opened, **held, **owed}], as_json=False)


@app.command()
def users(
    email: Annotated[str | None, typer.Option(help="Exactly this address.")] = None,
    identity: Annotated[
        str | None, typer.Option(help="ISSUER:SUBJECT, clerk:USER or local:NAME; or the id there alone.")
    ] = None,
    key_prefix: Annotated[str | None, typer.Option(help="As keys are listed, such as hr_AbC….")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: bool = JsonFlag,
) -> None:
    """List users, newest first: all, or those who are known by this."""
    issuer, subject = acting.identity_of(identity) if identity else (None, None)
    with db.transaction() as conn:
        found = accounts.users(conn, email=email, issuer=issuer, subject=subject, key_prefix=key_prefix, limit=limit)
    show([each._asdict() for each in found], as_json=as_json, empty="no users")


@app.command()
def suspend(
    account_id: AccountArgument,
    reason: GivenReason,
    as_json: bool = JsonFlag,
) -> None:
    """Let nobody in as an account's user, within five seconds; jobs that run go on. Again it changes nothing."""
    with db.transaction() as conn:
        user = accounts.user_of_account(conn, account_id)
        standing.suspend(conn, operator(), user.id, reason)
        user = accounts.user(conn, user.id)
    show([user._asdict()], as_json=as_json)


@app.command()
def resume(
    account_id: AccountArgument,
    reason: GivenReason,
    as_json: bool = JsonFlag,
) -> None:
    """Let a suspended user in again. Again it changes nothing."""
    with db.transaction() as conn:
        user = accounts.user_of_account(conn, account_id)
        standing.resume(conn, operator(), user.id, reason)
        user = accounts.user(conn, user.id)
    show([user._asdict()], as_json=as_json)


@app.command()
def grant(
    account_id: AccountId,
    amount: Annotated[int, typer.Argument(help="Credits.", min=1)],
    reason: GivenReason,
    ref: Annotated[str | None, typer.Option(help="Makes the grant single: the same ref is granted once.")] = None,
    days: Annotated[int | None, typer.Option(help="Days until it expires.", min=1, max=36_500)] = None,
    kind: Annotated[str, typer.Option(help="gift, purchase or goodwill.")] = "gift",
    job: Annotated[UUID | None, typer.Option(help="The job that a goodwill refund is for.")] = None,
    priority: Annotated[
        int,
        typer.Option(
            help="Those of a higher one are used first, then those that expire first.", min=0, callback=_priority
        ),
    ] = 0,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="What alone they pay for; again for several. With --model-kind: what either names.", callback=_names
        ),
    ] = None,
    model_kind: Annotated[
        list[str] | None,
        typer.Option(
            help=f"The same, by the kind of the model: {', '.join(KINDS)}; again for several.", callback=_kinds
        ),
    ] = None,
    as_json: bool = JsonFlag,
) -> None:
    """Give an account credits: for everything, or for some models or kinds of models alone."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    terms = ledger.GrantTerms(priority, tuple(model or ()), tuple(model_kind or ()))
    with db.transaction() as conn:
        grant_id = standing.give_credits(
            conn, operator(), account_id, amount, reason, kind=kind, ref=ref, expires_at=expires_at, job_id=job,
            terms=terms,
        )  # fmt: skip
        balance = reads.expire_and_read_balance(conn, account_id)
    show([{"grant": grant_id, "new": grant_id is not None, "available": balance.available}], as_json=as_json)


@app.command(name="take-back")
def take_back(
    account_id: AccountId,
    amount: Annotated[int, typer.Argument(help="Credits, of what is available.", min=1)],
    reason: GivenReason,
    as_json: bool = JsonFlag,
) -> None:
    """Take credits back from an account."""
    with db.transaction() as conn:
        standing.take_credits(conn, operator(), account_id, amount, reason)
        balance = reads.expire_and_read_balance(conn, account_id)
    show([{"account": account_id, "taken": amount, "available": balance.available}], as_json=as_json)


@app.command()
def subscribe(
    account_id: AccountId,
    plan: Annotated[str, typer.Argument(help="A plan's id.")],
    reason: GivenReason,
    interval: Annotated[str, typer.Option(help="monthly or yearly")] = "monthly",
    as_json: bool = JsonFlag,
) -> None:
    """Start or extend an account's subscription; the first month's credits are granted at once."""
    with db.transaction() as conn:
        subscription_id = paid_periods.subscribe(conn, account_id, plan, interval, by=operator(), reason=reason)
        rings = dispatch.dispatch(conn, account_id)
        balance = reads.expire_and_read_balance(conn, account_id)
    doorbell.ring(rings)
    show([{"subscription": subscription_id, "plan": balance.plan_id, "available": balance.available}], as_json=as_json)


@app.command()
def change_plan(
    account_id: AccountId,
    plan: Annotated[str, typer.Argument(help="A plan's id.")],
    reason: GivenReason,
    when: Annotated[str, typer.Option(help="now or period_end")] = "now",
    as_json: bool = JsonFlag,
) -> None:
    """Put an account's running subscription on another plan, whatever it costs; the paid time stays."""
    if when not in ("now", "period_end"):
        raise fail("--when is now or period_end")
    with db.transaction() as conn:
        chosen: plan_changes.When = "now" if when == "now" else "period_end"
        found = plan_changes.change_plan(conn, account_id, plan, by=operator(), when=chosen, paid=True, reason=reason)
        rings = dispatch.dispatch(conn, account_id)
    doorbell.ring(rings)
    show([{"plan": found.plan_id, "next": found.next_plan_id, "ends": found.ends_at}], as_json=as_json)
