"""/v1/webhooks: where an account's events are sent, the log of it, and sending again."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Body, Depends, Query
from psycopg import Connection
from pydantic import AfterValidator, BaseModel, Field, StringConstraints, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import MAX_LIMIT, Listing, ListPage, WantedPage, id_of, moment_and_id_of, moment_and_id_text
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import Moment, RequestBody
from api.routes.walled import WalledRoute
from models.access.scopes import Caller
from models.db import certain, transaction
from models.events import deliveries, endpoints
from models.events.endpoints import MAX_DESCRIPTION_CHARACTERS, MAX_URL_CHARACTERS
from models.events.kinds import STORED
from models.fleet.replicas import caught_up

router = PrefixRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=WalledRoute)

_Reader = Annotated[Caller, Depends(needs("read"))]
_Writer = Annotated[Caller, Depends(needs("write"))]
_Deleter = Annotated[Caller, Depends(needs("delete"))]
TEST = "webhook.test"


def _known(kind: str) -> str:
    if kind not in STORED:
        raise ValueError(f"there is no event {kind[:40]!r}; there are {', '.join(STORED)}")
    return kind


Url = Annotated[str, Field(max_length=MAX_URL_CHARACTERS, description="http or https, at a public address.")]
Events = Annotated[
    list[Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(STORED)})]],
    Field(max_length=32, description="Only these; empty: all."),
]
Description = Annotated[
    str, StringConstraints(max_length=MAX_DESCRIPTION_CHARACTERS, pattern=r"^[^\x00]*$"), Field(description="For you.")
]


class NewWebhook(RequestBody):
    """An address to tell events to."""

    url: Url
    events: Events = []  # noqa: RUF012 - pydantic copies a default
    description: Description = ""


class WebhookChange(RequestBody):
    """What to change. `enabled: true` switches a webhook on again that was switched off."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: bool | None = None


class Webhook(BaseModel):
    """An address that events are sent to."""

    id: UUID
    url: str
    description: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    failing_since: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime


class WebhookWithSecret(Webhook):
    """With its secret, which is shown this once."""

    secret: str


class WebhookPage(ListPage[Webhook]):
    """The account's webhooks, oldest first."""


class DefaultSecret(BaseModel):
    """What signs deliveries to addresses that jobs bring."""

    key: str


class DeliveryAttemptView(BaseModel):
    """One attempt. `status` is null where no answer came; `error` says why."""

    at: datetime
    url: Annotated[str | None, Field(description="Where it was sent.")] = None
    status: int | None
    milliseconds: int
    error: str | None
    response: Annotated[str | None, Field(description="The answer's first 1,024 characters.")]


class DeliveryView(BaseModel):
    """One event for one receiver. Its id is the `webhook-id` header of every attempt; the body of the request is
    `{"type": event_type, "timestamp": event_at, "data": {…data, "job_id", "number": event_number}}`.
    """

    id: UUID
    webhook_id: UUID | None
    url: Annotated[str | None, Field(description="Where a job brought the address.")]
    event_number: int | None
    event_type: str
    event_at: datetime
    job_id: UUID | None
    data: dict[str, Any]
    status: Literal["pending", "delivered", "failed", "disabled"]
    attempts: int
    next_at: datetime | None
    delivered_at: datetime | None
    log: list[DeliveryAttemptView]
    created_at: datetime


class DeliveryPage(ListPage[DeliveryView]):
    """Deliveries, newest first."""


class Again(RequestBody):
    """Which deliveries to send again: of this time, those that did not arrive, or all."""

    since: Moment
    until: Moment | None = None
    which: Literal["failed", "all"] = "failed"


class Count(BaseModel):
    """How many. At most 10,000 in one call: call again until it is less."""

    count: int


class Sent(BaseModel):
    """The delivery to look for in the log."""

    delivery_id: UUID


WEBHOOKS = Listing("webhooks", UUID, usual=MAX_LIMIT)
DELIVERIES = Listing("deliveries", moment_and_id_of, moment_and_id_text)


def webhook_id_of(text: str) -> UUID | None:
    """A webhook's id; `default` stands for the addresses that jobs bring."""
    return None if text == "default" else id_of(text, "webhook")


def delivery_view(row: deliveries.DeliveryRow) -> dict[str, Any]:
    """A delivery as it is answered."""
    shown = row._asdict()
    return {"id": shown.pop("id"), "webhook_id": shown.pop("endpoint_id"), **shown}


@router.get("/default/secret", summary="The secret that signs webhooks of single jobs")
def get_default_secret(who: _Writer) -> DefaultSecret:
    with certain() as conn:
        return DefaultSecret(key=endpoints.default_secrets(conn, who.account_id)[0])


@router.post("/default/rotate", response_model=DefaultSecret, summary="Replace that secret")
def rotate_default_secret(who: _Writer, request: Request, idempotency_key: RepeatKey = None) -> Response:
    """The old one signs besides the new one for a day, so that you can change over without a gap."""
    return once(
        who, idempotency_key, asked(request), lambda conn: {"key": endpoints.rotate_default(conn, who.account_id)}
    )


@router.post("", status_code=201, response_model=WebhookWithSecret, summary="Add a webhook")
def create_webhook(
    who: _Writer, request: Request, body: Annotated[NewWebhook, Body()], idempotency_key: RepeatKey = None
) -> Response:
    """Keep the `secret`: it is not shown again."""

    def make(conn: Connection[Any]) -> dict[str, Any]:
        made, secret = endpoints.create(conn, who.account_id, body.url, body.events, body.description)
        return {**made._asdict(), "secret": secret}

    return once(who, idempotency_key, asked(request, body), make, status=201, location="/v1/webhooks/{id}")


@router.get("", response_model=WebhookPage, summary="List webhooks")
def list_webhooks(who: _Reader, wanted: Annotated[WantedPage[UUID], Depends(WEBHOOKS.wanted)]) -> Response:
    """Oldest first."""
    with transaction() as conn:
        rows = endpoints.list_endpoints(conn, who.account_id, after=wanted.after, limit=wanted.reads)
    return answer(WEBHOOKS.page(rows, wanted, lambda row: row.id, lambda row: row._asdict()))


@router.get("/{webhook_id}", response_model=Webhook, summary="Look at a webhook")
def get_webhook(who: _Reader, webhook_id: str) -> Response:
    with transaction() as conn:
        return answer(endpoints.find(conn, who.account_id, id_of(webhook_id, "webhook"))._asdict())


@router.patch("/{webhook_id}", response_model=Webhook, summary="Change a webhook")
def change_webhook(who: _Writer, webhook_id: str, body: Annotated[WebhookChange, Body()]) -> Response:
    with certain() as conn:
        return answer(
            endpoints.change(conn, who.account_id, id_of(webhook_id, "webhook"), **body.model_dump())._asdict()
        )


@router.delete("/{webhook_id}", status_code=204, summary="Remove a webhook")
def delete_webhook(who: _Deleter, webhook_id: str) -> Response:
    with certain() as conn:
        endpoints.remove(conn, who.account_id, id_of(webhook_id, "webhook"))
    return Response(status_code=204)


@router.post("/{webhook_id}/rotate", response_model=WebhookWithSecret, summary="Replace a webhook's secret")
def rotate_webhook_secret(
    who: _Writer, request: Request, webhook_id: str, idempotency_key: RepeatKey = None
) -> Response:
    """The old secret signs besides the new one for a day: each delivery then carries two signatures."""
    wanted = id_of(webhook_id, "webhook")

    def replace(conn: Connection[Any]) -> dict[str, Any]:
        made, secret = endpoints.rotate(conn, who.account_id, wanted)
        return {**made._asdict(), "secret": secret}

    return once(who, idempotency_key, asked(request), replace)


@router.post("/{webhook_id}/test", status_code=202, response_model=Sent, summary="Send a test event")
def send_test_event(who: _Writer, request: Request, webhook_id: str, idempotency_key: RepeatKey = None) -> Response:
    """Sends `webhook.test`, whatever the webhook's filter; see the log for what came of it."""
    wanted = id_of(webhook_id, "webhook")

    def send(conn: Connection[Any]) -> dict[str, Any]:
        endpoints.count_test(conn, who.account_id, wanted)
        message = {"message": "It works."}
        return {"delivery_id": deliveries.send(conn, who.account_id, wanted, TEST, message, endpoint_id=wanted)}

    return once(who, idempotency_key, asked(request), send, status=202)


@router.get("/{webhook_id}/deliveries", response_model=DeliveryPage, summary="The log of deliveries")
def list_deliveries(
    who: _Reader,
    webhook_id: str,
    page: Annotated[WantedPage[tuple[datetime, UUID]], Depends(DELIVERIES.wanted)],
    status: Annotated[Literal["pending", "delivered", "failed", "disabled"] | None, Query()] = None,
) -> Response:
    """Newest first, with each attempt's answer and time. `default` in place of an id: those of single jobs' webhooks."""
    wanted = webhook_id_of(webhook_id)
    with caught_up() as conn:
        rows = deliveries.list_deliveries(
            conn, who.account_id, wanted, status=status, before=page.after, limit=page.reads
        )
    return answer(DELIVERIES.page(rows, page, lambda row: (row.created_at, row.id), delivery_view))


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver", response_model=DeliveryView, summary="Send a delivery again"
)
def redeliver_delivery(
    who: _Writer, request: Request, webhook_id: str, delivery_id: str, idempotency_key: RepeatKey = None
) -> Response:
    """At once, and with all its attempts before it again. The `webhook-id` stays the same."""
    wanted, delivery = webhook_id_of(webhook_id), id_of(delivery_id, "delivery")
    return once(
        who, idempotency_key, asked(request),
        lambda conn: delivery_view(deliveries.redeliver(conn, who.account_id, wanted, delivery)),
    )  # fmt: skip


@router.post("/{webhook_id}/redeliver", response_model=Count, summary="Send a time's deliveries again")
def redeliver_deliveries(
    who: _Writer, request: Request, webhook_id: str, body: Annotated[Again, Body()], idempotency_key: RepeatKey = None
) -> Response:
    """For after an outage: everything from `since` on that did not arrive. `default`: of single jobs' webhooks."""
    wanted, all_ = webhook_id_of(webhook_id), body.which == "all"
    return once(
        who, idempotency_key, asked(request, body),
        lambda conn: {
            "count": deliveries.redeliver_range(conn, who.account_id, wanted, body.since, body.until, all_=all_)
        },
    )  # fmt: skip
