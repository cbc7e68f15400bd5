"""Payments of all accounts."""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.console.site import CONSOLE_SITE, Viewed, console_router
from api.routes.cursors import WantedPage, id_of
from api.v1.admin_payments import ALL_PAYMENTS
from models.access import audit_log
from models.db import transaction
from models.fleet.replicas import caught_up
from models.operations.titles import account_names
from models.payments import orders

router = console_router()

PAGE_PAYMENTS = 25


@router.get("/payments")
def show_payments(page: Viewed, request: Request) -> Response:
    """Newest first; those that people should look at apart."""
    given = request.query_params
    problems, cursor = given.get("problems") == "true", given.get("cursor")
    account_id: UUID | None = id_of(given["account_id"], "account") if given.get("account_id") else None
    wanted = WantedPage(None if cursor is None else ALL_PAYMENTS.place_of(cursor), PAGE_PAYMENTS)
    with caught_up() as conn:
        rows = orders.list_payments(
            conn, account_id=account_id, before=wanted.after, problems=problems, limit=wanted.reads
        )
        names = account_names(conn, [each.account_id for each in rows])
    shown, more = rows[: wanted.limit], len(rows) > wanted.limit
    kept = {"problems": "true" if problems else None, "account_id": str(account_id) if account_id else None}
    return page.show(
        "payments.html", rows=shown, names=names, problems=problems, account_id=account_id,
        following=CONSOLE_SITE.link("/payments", **kept, cursor=ALL_PAYMENTS.cursor_of(shown[-1].id)) if more else None,
        newest=CONSOLE_SITE.link("/payments", **kept) if cursor else None,
    )  # fmt: skip


@router.get("/payments/{payment_id}")
def show_payment(page: Viewed, payment_id: str) -> Response:
    """One payment, with what operators did to it."""
    wanted = id_of(payment_id, "payment")
    with transaction() as conn:
        row = orders.payment(conn, wanted)
        names = account_names(conn, [row.account_id])
        acts = audit_log.list_acts(conn, subject=str(wanted), limit=20)
    return page.show("payment.html", payment=row, owner=names.get(row.account_id), acts=acts)
