"""An account's payments: what was ordered, how it stands, and where what is open is paid."""

from starlette.requests import Request
from starlette.responses import Response

from api.account.site import ACCOUNT_SITE, Looking, account_router
from api.routes.cursors import WantedPage
from api.v1.payments import PAYMENTS, payment_view
from models.db import transaction
from models.payments import orders

router = account_router()

PAGE_OWN_PAYMENTS = 25


@router.get("/payments")
def show_own_payments(page: Looking, request: Request) -> Response:
    """Newest first."""
    cursor = request.query_params.get("cursor")
    wanted = WantedPage(None if cursor is None else PAYMENTS.place_of(cursor), PAGE_OWN_PAYMENTS)
    with transaction() as conn:
        rows = orders.list_payments(conn, account_id=page.who.account_id, before=wanted.after, limit=wanted.reads)
    shown, more = rows[: wanted.limit], len(rows) > wanted.limit
    return page.show(
        "payments.html", rows=[payment_view(each) for each in shown], newest=ACCOUNT_SITE.link("/payments") if cursor else None,
        following=ACCOUNT_SITE.link("/payments", cursor=PAYMENTS.cursor_of(shown[-1].id)) if more else None,
    )  # fmt: skip
