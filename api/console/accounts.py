"""Accounts: what can be used, what is held by which job, how the balance came about; and its corrections."""

from uuid import UUID

from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.console.site import CONSOLE_SITE, Viewed, console_router
from api.routes.cursors import WantedPage, id_of
from api.sites.forms import REASON, ActForm, FormField, ask_first, carry_out, done_once
from api.sites.routing import Actor, Posted, shaped
from api.sites.wording import number, split_of
from api.v1.admin import USERS
from api.v1.admin_accounts import Because, NewGrant, TakeBack
from api.v1.credits import ENTRIES
from models.access import audit_log
from models.accounts import accounts, standing
from models.accounts.accounts import UserRow
from models.credits.reads import Balance, balances, expire_and_read_balance, ledger_page, open_grants
from models.db import certain
from models.fleet.replicas import caught_up
from models.operations.holders import held_by
from models.payments import orders
from models.usage.charts import spent_this_month

router = console_router()

PAGE_ACCOUNTS = 25
PAGE_ENTRIES = 25
SHOWN_GRANTS = 20
SEARCHES = ("email", "subject", "key_prefix")
MAX_WANTED = 320


@router.get("/accounts")
def show_accounts(page: Viewed, request: Request) -> Response:
    """Newest first; found by exactly an address, an id at the identity provider, or a key's beginning."""
    given = {name: request.query_params.get(name, "").strip()[:MAX_WANTED] for name in SEARCHES}
    kept = {name: value for name, value in given.items() if value}
    cursor = request.query_params.get("cursor")
    wanted = WantedPage(None if cursor is None else USERS.place_of(cursor), PAGE_ACCOUNTS)
    with caught_up() as conn:
        rows = accounts.users(conn, before=wanted.after, **kept, limit=wanted.reads)
        shown = rows[: wanted.limit]
        known = [each.account_id for each in shown]
        credits = dict(zip(known, balances(conn, known), strict=True))
    more = len(rows) > wanted.limit
    return page.show(
        "accounts.html", rows=shown, credits=credits, given=given, kept=kept,
        following=CONSOLE_SITE.link("/accounts", **kept, cursor=USERS.cursor_of(shown[-1].id)) if more else None,
        newest=CONSOLE_SITE.link("/accounts", **kept) if cursor else None,
    )  # fmt: skip


@router.get("/accounts/{account_id}")
def show_account(page: Viewed, account_id: str, request: Request) -> Response:
    """Balance, grants, what is reserved by which job, and a page of the ledger."""
    wanted, cursor = id_of(account_id, "account"), request.query_params.get("cursor")
    before = None if cursor is None else ENTRIES.place_of(cursor)
    with certain() as conn:
        user = accounts.user_of_account(conn, wanted)
        balance = expire_and_read_balance(conn, wanted)
        grants = open_grants(conn, wanted, after=None, limit=SHOWN_GRANTS)
        held = held_by(conn, wanted)
        entries = ledger_page(conn, wanted, before=before, limit=PAGE_ENTRIES + 1)
        month, payments = spent_this_month(conn, wanted), orders.list_payments(conn, account_id=wanted, limit=5)
        acts = audit_log.list_acts(conn, subject=str(wanted), limit=5)
    more = len(entries) > PAGE_ENTRIES
    return page.show(
        "account.html", user=user, balance=balance, grants=grants, held=held, entries=entries[:PAGE_ENTRIES], month=month,
        payments=payments, acts=acts, split=split_of(balance),
        following=CONSOLE_SITE.link(f"/accounts/{wanted}", cursor=ENTRIES.cursor_of(entries[PAGE_ENTRIES - 1]["id"])) if more else None,
        newest=CONSOLE_SITE.link(f"/accounts/{wanted}") if cursor else None,
    )  # fmt: skip


# Corrections


@router.get("/accounts/{account_id}/grant")
def ask_grant(page: Viewed, account_id: str) -> Response:
    """Before credits are given."""
    return ask_first(page, grant_form(*_stood(account_id)))


@router.post("/accounts/{account_id}/grant")
def give_credits(page: Viewed, actor: Actor, fields: Posted, account_id: str) -> Response:
    """Give them; a debt is paid from them first."""
    user, balance = _stood(account_id)
    form = grant_form(user, balance)

    def work() -> None:
        wish = shaped(NewGrant, fields, "amount", "kind", "expires_at", "reason")
        done_once(page, form, fields, lambda conn: standing.give_credits(
            conn, actor, user.account_id, wish.amount, wish.reason, kind=wish.kind, expires_at=wish.expires_at
        ))  # fmt: skip

    return carry_out(page, form, fields, work, "given")


def grant_form(user: UserRow, balance: Balance) -> ActForm:
    """The page that asks before credits are given."""
    path = f"/accounts/{user.account_id}"
    says = f"To {name_of_user(user)}, as a grant of its own. " + (
        f"A debt of {number(balance.debt)} is paid from it first." if balance.debt else ""
    )
    return ActForm(
        "Give credits", says, f"{path}/grant", path, "Give credits", active="accounts", figures=_figures(balance),
        fields=(
            FormField("amount", "Credits", "number", hint="Whole credits.", most=12, required=True),
            FormField("kind", "Kind", "select", "gift", options=(("gift", "Gift"), ("goodwill", "Goodwill"), ("purchase", "Purchase"))),
            FormField("expires_at", "Run out (UTC)", "datetime-local", hint="Left empty they stay until they are used."),
            REASON,
        ),
    )  # fmt: skip


@router.get("/accounts/{account_id}/take-back")
def ask_take_back(page: Viewed, account_id: str) -> Response:
    """Before credits are taken back."""
    return ask_first(page, take_back_form(*_stood(account_id)))


@router.post("/accounts/{account_id}/take-back")
def take_credits(page: Viewed, actor: Actor, fields: Posted, account_id: str) -> Response:
    """Take them, of what is available."""
    user, balance = _stood(account_id)
    form = take_back_form(user, balance)

    def work() -> None:
        wish = shaped(TakeBack, fields, "amount", "reason")
        done_once(
            page,
            form,
            fields,
            lambda conn: standing.take_credits(conn, actor, user.account_id, wish.amount, wish.reason),
        )

    return carry_out(page, form, fields, work, "taken")


def take_back_form(user: UserRow, balance: Balance) -> ActForm:
    """The page that asks before credits are taken back."""
    path = f"/accounts/{user.account_id}"
    return ActForm(
        "Take credits back", f"From {name_of_user(user)}, those that would be used last first.", f"{path}/take-back", path,
        "Take credits back", active="accounts", danger=True, figures=_figures(balance),
        left_out=("What is reserved by jobs stays: it is settled or refunded when they end.",),
        fields=(FormField("amount", "Credits", "number", hint="At most what is available.", most=12, required=True), REASON),
    )  # fmt: skip


@router.get("/accounts/{account_id}/suspend")
def ask_suspend(page: Viewed, account_id: str) -> Response:
    """Before nobody is let in any more."""
    return ask_first(page, suspend_form(_stood(account_id)[0]))


@router.post("/accounts/{account_id}/suspend")
def suspend_account(page: Viewed, actor: Actor, fields: Posted, account_id: str) -> Response:
    """Let nobody in, or let them in again."""
    user = _stood(account_id)[0]
    form = suspend_form(user)

    def verb(conn: Connection[object]) -> None:
        reason = shaped(Because, fields, "reason").reason
        (standing.resume if user.suspended_at else standing.suspend)(conn, actor, user.id, reason)

    return carry_out(
        page, form, fields, lambda: done_once(page, form, fields, verb), "let-in" if user.suspended_at else "suspended"
    )


def suspend_form(user: UserRow) -> ActForm:
    """The page that asks before a user is suspended, or let in again."""
    path, name = f"/accounts/{user.account_id}", name_of_user(user)
    if user.suspended_at:
        return ActForm(
            f"Let {name} in again",
            "Their keys and tokens work as before.",
            f"{path}/suspend",
            path,
            "Let in again",
            active="accounts",
        )
    return ActForm(
        f"Suspend {name}", "Within five seconds their keys and tokens are refused everywhere. Jobs that run go on, and nothing is deleted.",
        f"{path}/suspend", path, "Suspend", danger=True, active="accounts",
    )  # fmt: skip


def name_of_user(user: UserRow) -> str:
    """What people call them."""
    return (user.email or user.subject)[:80]


def _stood(account_id: str) -> tuple[UserRow, Balance]:
    wanted: UUID = id_of(account_id, "account")
    with certain() as conn:
        return accounts.user_of_account(conn, wanted), expire_and_read_balance(conn, wanted)


def _figures(balance: Balance) -> tuple[tuple[str, str], ...]:
    return (
        (number(balance.available), "available now"),
        (number(balance.reserved), "reserved"),
        (number(balance.debt), "owed"),
    )
