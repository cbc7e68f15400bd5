"""`client.webhooks`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import (
    Count,
    DefaultSecret,
    Delivery,
    DeliveryPage,
    Sent,
    Webhook,
    WebhookPage,
    WebhookWithSecret,
)


class WebhooksRoutes:
    """`client.webhooks`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> Pager[Webhook, WebhookPage]:
        """List webhooks. `GET /v1/webhooks`.

        Oldest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/webhooks", query={"limit": limit}), WebhookPage, lambda page: page.data
        )

    def create(
        self,
        *,
        url: str,
        description: str | Omit = OMIT,
        events: Sequence[
            Literal[
                "job.queued",
                "job.output",
                "job.succeeded",
                "job.failed",
                "job.canceled",
                "assets.deleted",
                "assets.expired",
                "credits.granted",
                "credits.low",
                "credits.expired",
                "credits.revoked",
                "hold.created",
                "hold.settled",
                "hold.released",
                "hold.expired",
                "subscription.started",
                "subscription.extended",
                "subscription.changed",
                "subscription.period",
                "subscription.planned",
                "subscription.canceled",
                "subscription.resumed",
                "subscription.overdue",
                "subscription.expired",
                "payment.succeeded",
                "payment.changed",
                "refill.paused",
                "batch.completed",
                "course.completed",
                "announcement",
                "webhook.disabled",
            ]
        ]
        | Omit = OMIT,
        idempotency_key: str | None = None,
    ) -> WebhookWithSecret:
        """Add a webhook. `POST /v1/webhooks`.

        Keep the `secret`: it is not shown again.

        Args:
            url: http or https, at a public address.
            description: For you.
            events: Only these; empty: all.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/webhooks",
                body={"url": url, "description": description, "events": events},
                once=True,
                key=idempotency_key,
            ),
            WebhookWithSecret,
        )

    def rotate_default_secret(self, *, idempotency_key: str | None = None) -> DefaultSecret:
        """Replace that secret. `POST /v1/webhooks/default/rotate`.

        The old one signs besides the new one for a day, so that you can change over without a gap.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call("POST", "/v1/webhooks/default/rotate", once=True, key=idempotency_key), DefaultSecret
        )

    def get_default_secret(self) -> DefaultSecret:
        """The secret that signs webhooks of single jobs. `GET /v1/webhooks/default/secret`."""
        return self._sender.ask(Call("GET", "/v1/webhooks/default/secret"), DefaultSecret)

    def delete(self, webhook_id: str) -> None:
        """Remove a webhook. `DELETE /v1/webhooks/{webhook_id}`."""
        return self._sender.ask_nothing(Call("DELETE", "/v1/webhooks/{webhook_id}", at={"webhook_id": webhook_id}))

    def get(self, webhook_id: str) -> Webhook:
        """Look at a webhook. `GET /v1/webhooks/{webhook_id}`."""
        return self._sender.ask(Call("GET", "/v1/webhooks/{webhook_id}", at={"webhook_id": webhook_id}), Webhook)

    def change(
        self,
        webhook_id: str,
        *,
        description: str | Omit | None = OMIT,
        enabled: bool | Omit | None = OMIT,
        events: Sequence[
            Literal[
                "job.queued",
                "job.output",
                "job.succeeded",
                "job.failed",
                "job.canceled",
                "assets.deleted",
                "assets.expired",
                "credits.granted",
                "credits.low",
                "credits.expired",
                "credits.revoked",
                "hold.created",
                "hold.settled",
                "hold.released",
                "hold.expired",
                "subscription.started",
                "subscription.extended",
                "subscription.changed",
                "subscription.period",
                "subscription.planned",
                "subscription.canceled",
                "subscription.resumed",
                "subscription.overdue",
                "subscription.expired",
                "payment.succeeded",
                "payment.changed",
                "refill.paused",
                "batch.completed",
                "course.completed",
                "announcement",
                "webhook.disabled",
            ]
        ]
        | Omit
        | None = OMIT,
        url: str | Omit | None = OMIT,
    ) -> Webhook:
        """Change a webhook. `PATCH /v1/webhooks/{webhook_id}`."""
        return self._sender.ask(
            Call(
                "PATCH",
                "/v1/webhooks/{webhook_id}",
                at={"webhook_id": webhook_id},
                body={"description": description, "enabled": enabled, "events": events, "url": url},
            ),
            Webhook,
        )

    def list_deliveries(
        self,
        webhook_id: str,
        *,
        status: Literal["pending", "delivered", "failed", "disabled"] | Omit | None = OMIT,
        limit: int | Omit = OMIT,
    ) -> Pager[Delivery, DeliveryPage]:
        """The log of deliveries. `GET /v1/webhooks/{webhook_id}/deliveries`.

        Newest first, with each attempt's answer and time. `default` in place of an id: those of single jobs' webhooks.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call(
                "GET",
                "/v1/webhooks/{webhook_id}/deliveries",
                at={"webhook_id": webhook_id},
                query={"status": status, "limit": limit},
            ),
            DeliveryPage,
            lambda page: page.data,
        )

    def redeliver_delivery(self, webhook_id: str, delivery_id: str, *, idempotency_key: str | None = None) -> Delivery:
        """Send a delivery again. `POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver`.

        At once, and with all its attempts before it again. The `webhook-id` stays the same.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
                at={"webhook_id": webhook_id, "delivery_id": delivery_id},
                once=True,
                key=idempotency_key,
            ),
            Delivery,
        )

    def redeliver_deliveries(
        self,
        webhook_id: str,
        *,
        since: dt.datetime,
        until: dt.datetime | Omit | None = OMIT,
        which: Literal["failed", "all"] | Omit = OMIT,
        idempotency_key: str | None = None,
    ) -> Count:
        """Send a time's deliveries again. `POST /v1/webhooks/{webhook_id}/redeliver`.

        For after an outage: everything from `since` on that did not arrive. `default`: of single jobs' webhooks.

        Args:
            since: Without an offset: UTC.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/webhooks/{webhook_id}/redeliver",
                at={"webhook_id": webhook_id},
                body={"since": since, "until": until, "which": which},
                once=True,
                key=idempotency_key,
            ),
            Count,
        )

    def rotate_secret(self, webhook_id: str, *, idempotency_key: str | None = None) -> WebhookWithSecret:
        """Replace a webhook's secret. `POST /v1/webhooks/{webhook_id}/rotate`.

        The old secret signs besides the new one for a day: each delivery then carries two signatures.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/webhooks/{webhook_id}/rotate",
                at={"webhook_id": webhook_id},
                once=True,
                key=idempotency_key,
            ),
            WebhookWithSecret,
        )

    def send_test_event(self, webhook_id: str, *, idempotency_key: str | None = None) -> Sent:
        """Send a test event. `POST /v1/webhooks/{webhook_id}/test`.

        Sends `webhook.test`, whatever the webhook's filter; see the log for what came of it.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST", "/v1/webhooks/{webhook_id}/test", at={"webhook_id": webhook_id}, once=True, key=idempotency_key
            ),
            Sent,
        )
