"""An account's webhooks: listed, added, tried, sent to again, and removed; and the log of what was delivered."""

from typing import Any
from uuid import UUID

from psycopg import Connection
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api.account.site import ACCOUNT_SITE, Deleting, Looking, Writing, account_router
from api.edge.problems import first_of
from api.routes.cursors import WantedPage, id_of
from api.routes.once import make_once
from api.sites.forms import MAX_ONCE, ActForm, FormField, ask_first, carry_out, done_once
from api.sites.routing import Fields, Posted, refusal_of
from api.v1.webhooks import DELIVERIES, TEST, NewWebhook
from common.errors import InvalidParameter
from models.db import certain, transaction
from models.events import deliveries, endpoints
from models.events.deliveries import STATUSES
from models.events.endpoints import MAX_DESCRIPTION_CHARACTERS, MAX_URL_CHARACTERS, EndpointRow
from models.jobs.admission import body_hash

router = account_router()

PAGE_DELIVERIES = 25


@router.get("/webhooks")
def show_own_webhooks(page: Looking) -> Response:
    """All of them, oldest first: there are never more than a page takes."""
    with transaction() as conn:
        rows = endpoints.list_endpoints(conn, page.who.account_id)
    return page.show("webhooks.html", rows=rows, states=[hook_state(each) for each in rows])


def hook_state(hook: EndpointRow) -> str:
    """How an endpoint stands."""
    if not hook.enabled:
        return "off"
    return "failed" if hook.failing_since is not None else "ok"


NEW_WEBHOOK = ActForm(
    "Add a webhook", "Your events are sent there, signed. Its secret is shown once, on the next page.", "/webhooks/new", "/webhooks",
    "Add the webhook", active="webhooks",
    fields=(
        FormField("url", "Address", "url", hint="http or https, at a public address.", most=MAX_URL_CHARACTERS, required=True),
        FormField("events", "Events", hint="Such as job.succeeded, job.failed; left empty: all.", most=1000),
        FormField("description", "Description", hint="For you.", most=MAX_DESCRIPTION_CHARACTERS),
    ),
)  # fmt: skip


@router.get("/webhooks/new")
def ask_webhook(page: Writing) -> Response:
    """Before a webhook is added."""
    return ask_first(page, NEW_WEBHOOK)


@router.post("/webhooks/new")
def add_webhook(page: Writing, fields: Posted) -> Response:
    """Add it, and show its secret this once; the same form again shows the same webhook."""
    made = dict[str, Any]()

    def work() -> None:
        wanted = new_webhook_of(fields)

        def create(conn: Connection[Any]) -> dict[str, Any]:
            hook, secret = endpoints.create(conn, page.who.account_id, wanted.url, wanted.events, wanted.description)
            return {"id": hook.id, "secret": secret}

        once = fields.get("once", "")[:MAX_ONCE]
        asked = {"act": "account webhook", "body": wanted.model_dump(mode="json")}
        made.update(make_once(page.who, f"account {once}" if once else None, body_hash(asked), create).body)

    refused = refusal_of(work)
    if refused is not None:
        return page.show("act.html", refused.status, form=NEW_WEBHOOK.filled(fields), refused=refused)
    return page.show("webhook_made.html", made=made, url=fields.get("url", ""))


def new_webhook_of(fields: Fields) -> NewWebhook:
    """The webhook that a form asks for. Raises InvalidParameter that names the field."""
    events = [each.strip() for each in fields.get("events", "").split(",") if each.strip()]
    said = {
        "url": fields.get("url", "").strip(),
        "events": events,
        "description": fields.get("description", "").strip(),
    }
    try:
        return NewWebhook.model_validate(said)
    except ValidationError as error:
        param, detail = first_of(error.errors())
        raise InvalidParameter(detail, param=(param or "").partition(".")[0]) from None


@router.get("/webhooks/{webhook_id}")
def show_own_webhook(page: Looking, webhook_id: str, request: Request) -> Response:
    """One of them, and what was sent there."""
    cursor, status = request.query_params.get("cursor"), request.query_params.get("status")
    status = status if status in STATUSES else None
    place = WantedPage(None if cursor is None else DELIVERIES.place_of(cursor), PAGE_DELIVERIES)
    own = page.who.account_id
    with transaction() as conn:
        hook = endpoints.find(conn, own, id_of(webhook_id, "webhook"))
        rows = deliveries.list_deliveries(conn, own, hook.id, status=status, before=place.after, limit=place.reads)
    shown, path = rows[: place.limit], f"/webhooks/{hook.id}"
    more = len(rows) > place.limit
    return page.show(
        "webhook.html", hook=hook, state_name=hook_state(hook), rows=shown, status=status, statuses=STATUSES,
        newest=ACCOUNT_SITE.link(path, status=status) if cursor else None,
        following=ACCOUNT_SITE.link(path, status=status, cursor=DELIVERIES.cursor_of((shown[-1].created_at, shown[-1].id))) if more else None,
    )  # fmt: skip


def _found(account_id: UUID, webhook_id: str) -> EndpointRow:
    with transaction() as conn:
        return endpoints.find(conn, account_id, id_of(webhook_id, "webhook"))


@router.get("/webhooks/{webhook_id}/test")
def ask_test(page: Writing, webhook_id: str) -> Response:
    """Before a test event is sent."""
    return ask_first(page, _test_form(_found(page.who.account_id, webhook_id)))


@router.post("/webhooks/{webhook_id}/test")
def send_test(page: Writing, fields: Posted, webhook_id: str) -> Response:
    """Send one, whatever the webhook's filter."""
    own, hook = page.who.account_id, _found(page.who.account_id, webhook_id)
    form = _test_form(hook)

    def verb(conn: Connection[Any]) -> None:
        endpoints.count_test(conn, own, hook.id)
        deliveries.send(conn, own, hook.id, TEST, {"message": "It works."}, endpoint_id=hook.id)

    return carry_out(page, form, fields, lambda: done_once(page, form, fields, verb), "tested")


def _test_form(hook: EndpointRow) -> ActForm:
    path = f"/webhooks/{hook.id}"
    return ActForm(
        "Send a test event", f"A webhook.test goes to {hook.url[:120]}, whatever events it asks for.", f"{path}/test", path, "Send it",
        fields=(), active="webhooks",
    )  # fmt: skip


@router.get("/webhooks/{webhook_id}/remove")
def ask_remove(page: Deleting, webhook_id: str) -> Response:
    """Before a webhook is removed."""
    return ask_first(page, _remove_form(_found(page.who.account_id, webhook_id)))


@router.post("/webhooks/{webhook_id}/remove")
def remove_webhook(page: Deleting, fields: Posted, webhook_id: str) -> Response:
    """Remove it."""
    own, hook = page.who.account_id, _found(page.who.account_id, webhook_id)
    form = _remove_form(hook)
    return carry_out(
        page, form, fields, lambda: done_once(page, form, fields, lambda conn: endpoints.remove(conn, own, hook.id)), "removed"
    )  # fmt: skip


def _remove_form(hook: EndpointRow) -> ActForm:
    return ActForm(
        "Remove this webhook", f"Nothing is sent to {hook.url[:120]} any more, and its log goes with it.", f"/webhooks/{hook.id}/remove", "/webhooks",
        "Remove the webhook", fields=(), danger=True, active="webhooks",
    )  # fmt: skip


@router.post("/webhooks/{webhook_id}/on")
def switch_on(page: Writing, fields: Posted, webhook_id: str) -> Response:  # noqa: ARG001 - it is a form like any other
    """Switch one on again that was switched off."""
    hook = _found(page.who.account_id, webhook_id)
    with certain() as conn:
        endpoints.change(conn, page.who.account_id, hook.id, enabled=True)
    return page.go(f"/webhooks/{hook.id}", done="on")


@router.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/again")
def send_again(page: Writing, fields: Posted, webhook_id: str, delivery_id: str) -> Response:  # noqa: ARG001 - as above
    """Send a delivery again, with the same `webhook-id`."""
    hook, wanted = _found(page.who.account_id, webhook_id), id_of(delivery_id, "delivery")
    with certain() as conn:
        deliveries.redeliver(conn, page.who.account_id, hook.id, wanted)
    return page.go(f"/webhooks/{hook.id}", done="sent")
