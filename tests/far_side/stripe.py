"""The far side of Stripe: Checkout, charges, invoices, refunds, disputes. Its own package signs the events."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import stripe
from dateutil.relativedelta import relativedelta

from tests.far_side.companies import Asked, CompanyServer, Posted, Said


class StripeServer(CompanyServer):
    """Checkout, payment intents, invoices, refunds, disputes, subscriptions. `cards` says of a card what becomes of a charge."""

    secret = "whsec_" + "s" * 32

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        super().__init__(now)
        self.things: dict[str, dict[str, Any]] = {}
        self.by_key: dict[str, tuple[bytes, Said]] = {}
        self.cards: dict[str, str] = {}
        self.refunds_end = "succeeded"

    def answer(self, asked: Asked) -> Said:
        if asked.headers.get("authorization") != "Bearer sk_test_key":
            return self._error(401, "invalid_request_error", "", "Invalid API Key provided")
        key = asked.headers.get("idempotency-key") if asked.method == "POST" else None
        if key and key in self.by_key:
            body, said = self.by_key[key]
            return (
                said
                if body == asked.body
                else self._error(400, "idempotency_error", "", "Keys for idempotent requests")
            )
        said = self._do(asked)
        if key:
            self.by_key[key] = (asked.body, said)
        return said

    def _do(self, asked: Asked) -> Said:
        parts = asked.path.strip("/").split("/")[1:]
        kind, name = parts[0], parts[-1]
        if asked.method == "GET" and kind in {"refunds", "disputes"}:
            data = [
                each for each in reversed(list(self.things.values()))
                if each["object"] == kind[:-1] and each["payment_intent"] == asked.query["payment_intent"]
            ]  # fmt: skip
            return Said(
                200, {"object": "list", "data": sorted(data, key=lambda each: -each["created"]), "has_more": False}
            )
        if asked.method == "GET" and kind == "invoices" and "subscription" in asked.query:
            data = [
                each for each in self.things.values()
                if each["object"] == "invoice" and each["parent"]["subscription_details"]["subscription"] == asked.query["subscription"]
            ]  # fmt: skip
            return Said(200, {"object": "list", "data": data[:-101:-1], "has_more": len(data) > 100})
        if asked.method == "GET":
            found = self.things.get(name)
            return (
                Said(200, found)
                if found
                else self._error(404, "invalid_request_error", "resource_missing", f"No such: {name}")
            )
        given = _form(asked.body)
        if kind == "checkout":
            return Said(200, self._session(given))
        if kind == "payment_intents":
            return self._charge(given)
        if kind == "refunds":
            return self._refund(given)
        if kind == "subscriptions":
            self.things[name]["cancel_at_period_end"] = given["cancel_at_period_end"] == "true"
            return Said(200, self.things[name])
        return self._error(404, "invalid_request_error", "", "no such route")

    def _session(self, given: dict[str, Any]) -> dict[str, Any]:
        price = given["line_items"]["0"]["price_data"]
        return self._new("cs_test_", "checkout.session", {
            "status": "open", "payment_status": "unpaid", "mode": given["mode"], "client_reference_id": given["client_reference_id"],
            "amount_total": int(price["unit_amount"]), "currency": price["currency"], "metadata": given.get("metadata", {}),
            "url": "https://checkout.stripe.com/c/pay/x", "expires_at": int(given["expires_at"]), "payment_intent": None,
            "invoice": None, "subscription": None, "customer": given.get("customer"),
            "keeps": given.get("payment_intent_data", {}).get("setup_future_usage"), "interval": price.get("recurring", {}).get("interval"),
        })  # fmt: skip

    def _new(self, prefix: str, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        made = {
            "id": prefix + uuid4().hex[:20],
            "object": kind,
            "created": int(self.now()),
            "livemode": False,
            **values,
        }
        self.things[made["id"]] = made
        return made

    def _intent(self, amount: int, currency: str, **more: Any) -> dict[str, Any]:
        values = {
            "status": "succeeded", "amount": amount, "amount_received": amount, "currency": currency, "customer": "cus_1",
            "payment_method": "pm_1", "metadata": {}, "last_payment_error": None, "setup_future_usage": None, **more,
        }  # fmt: skip
        return self._new("pi_", "payment_intent", values)

    def _charge(self, given: dict[str, Any]) -> Said:
        fate = self.cards.get(given["payment_method"], "succeeds")
        more = {
            "metadata": given.get("metadata", {}),
            "customer": given["customer"],
            "payment_method": given["payment_method"],
        }
        if fate == "succeeds":
            return Said(200, self._intent(int(given["amount"]), given["currency"], **more))
        intent = self._intent(
            int(given["amount"]), given["currency"], **more, status="requires_payment_method", amount_received=0,
            last_payment_error={"code": fate, "decline_code": None},
        )  # fmt: skip
        code = fate if fate == "authentication_required" else "card_declined"
        return Said(
            402,
            {
                "error": {
                    "type": "card_error",
                    "code": code,
                    "decline_code": fate,
                    "message": "no",
                    "payment_intent": intent,
                }
            },
        )

    def _refund(self, given: dict[str, Any]) -> Said:
        intent = self.things[given["payment_intent"]]
        gone = sum(
            each["amount"] for each in self.things.values()
            if each["object"] == "refund" and each["payment_intent"] == intent["id"] and each["status"] == "succeeded"
        )  # fmt: skip
        if gone + int(given["amount"]) > intent["amount_received"]:
            return self._error(400, "invalid_request_error", "charge_already_refunded", "too much")
        return Said(200, self.add_refund(intent["id"], int(given["amount"]), self.refunds_end))

    def _error(self, status: int, kind: str, code: str, message: str) -> Said:
        return Said(status, {"error": {"type": kind, "code": code, "message": message}})

    # What people and banks do

    def pay(self, session_id: str, *, unpaid: bool = False, amount: int | None = None) -> list[Posted]:
        """A payer finishes a page. Returns the events that this fires, in Stripe's order."""
        with self.lock:
            session = self.things[session_id]
            session["status"] = "complete"
            session["customer"] = session["customer"] or "cus_" + session_id[-8:]
            if session["mode"] == "subscription":
                return self._subscribe(session)
            paid = session["amount_total"] if amount is None else amount
            intent = self._intent(
                paid, session["currency"], customer=session["customer"], setup_future_usage=session["keeps"],
                status="processing" if unpaid else "succeeded", amount_received=0 if unpaid else paid,
                metadata={"order": session["client_reference_id"]},
            )  # fmt: skip
            session |= {"payment_intent": intent["id"], "payment_status": "unpaid" if unpaid else "paid"}
            events = [] if unpaid else [self.event("payment_intent.succeeded", intent)]
            return [*events, self.event("checkout.session.completed", session)]

    def settle(self, session_id: str, *, good: bool = True) -> list[Posted]:
        """What was paid later arrives, or not."""
        with self.lock:
            session = self.things[session_id]
            intent = self.things[session["payment_intent"]]
            if good:
                intent |= {"status": "succeeded", "amount_received": intent["amount"]}
                session["payment_status"] = "paid"
                return [self.event("checkout.session.async_payment_succeeded", session)]
            intent |= {"status": "requires_payment_method", "last_payment_error": {"code": "payment_failed"}}
            return [self.event("checkout.session.async_payment_failed", session)]

    def expire(self, session_id: str) -> list[Posted]:
        with self.lock:
            self.things[session_id]["status"] = "expired"
            return [self.event("checkout.session.expired", self.things[session_id])]

    def _subscribe(self, session: dict[str, Any]) -> list[Posted]:
        subscription = self._new("sub_", "subscription", {
            "status": "active", "customer": session["customer"], "cancel_at_period_end": False, "interval": session["interval"],
            "metadata": {"order": session["client_reference_id"]}, "amount": session["amount_total"], "currency": session["currency"],
        })  # fmt: skip
        invoice = self.bill(subscription["id"], "subscription_create")
        session |= {"subscription": subscription["id"], "invoice": invoice["id"], "payment_status": "paid"}
        return [
            self.event("customer.subscription.created", subscription), self.event("invoice.paid", invoice),
            self.event("checkout.session.completed", session),
        ]  # fmt: skip

    def bill(
        self, subscription_id: str, reason: str, *, amount: int | None = None, paid: bool = True
    ) -> dict[str, Any]:
        """An invoice of a subscription, which is paid at once, or not."""
        subscription = self.things[subscription_id]
        amount = subscription["amount"] if amount is None else amount
        intent = (
            self._intent(amount, subscription["currency"], customer=subscription["customer"])
            if amount and paid
            else None
        )
        payments = (
            [{"status": "paid", "payment": {"type": "payment_intent", "payment_intent": intent["id"]}}]
            if intent
            else []
        )
        months = 12 if subscription["interval"] == "year" else 1
        begins = subscription.get("ends") or int(self.now())
        following = datetime.fromtimestamp(begins, UTC) + relativedelta(months=months)
        is_period = paid and reason in {"subscription_create", "subscription_cycle"}
        ends = int(following.timestamp()) if is_period else begins + 1
        if ends > begins + 1:
            subscription["ends"] = ends
        return self._new("in_", "invoice", {
            "status": "paid" if paid else "open", "amount_paid": amount if paid else 0, "currency": subscription["currency"],
            "customer": subscription["customer"], "billing_reason": reason, "payments": {"data": payments},
            "parent": {"subscription_details": {"subscription": subscription_id, "metadata": subscription["metadata"]}},
            "lines": {"data": [{"period": {"start": begins, "end": ends}}]},
            "status_transitions": {"paid_at": int(self.now()) if paid else None},
        })  # fmt: skip

    def renew(self, subscription_id: str, *, paid: bool = True) -> list[Posted]:
        """The next period is billed."""
        with self.lock:
            invoice = self.bill(subscription_id, "subscription_cycle", paid=paid)
            return [self.event("invoice.paid" if paid else "invoice.payment_failed", invoice)]

    def add_refund(self, intent_id: str, amount: int, status: str = "succeeded") -> dict[str, Any]:
        return self._new(
            "re_", "refund", {"payment_intent": intent_id, "amount": amount, "status": status, "currency": "usd"}
        )

    def give_back(self, intent_id: str, amount: int, status: str = "succeeded") -> list[Posted]:
        """The merchant refunds on its dashboard; `amount_refunded` of the charge is cumulative."""
        with self.lock:
            refund = self.add_refund(intent_id, amount, status)
            charge = {
                "id": "ch_" + intent_id[3:],
                "object": "charge",
                "payment_intent": intent_id,
                "amount_refunded": amount,
            }
            return [self.event("charge.refunded", charge), self.event("refund.created", refund)]

    def dispute(self, intent_id: str, status: str) -> list[Posted]:
        """A bank says something; the same dispute, with its newest word."""
        with self.lock:
            found = next(
                (
                    each
                    for each in self.things.values()
                    if each["object"] == "dispute" and each["payment_intent"] == intent_id
                ),
                None,
            )
            if found is None:
                found = self._new("du_", "dispute", {"payment_intent": intent_id, "charge": "ch_1", "status": status})
                return [self.event("charge.dispute.created", found)]
            found["status"] = status
            return [self.event("charge.dispute.closed", found)]

    def event(self, kind: str, thing: Mapping[str, Any], *, at: float | None = None, livemode: bool = False) -> Posted:
        body = json.dumps({
            "id": "evt_" + uuid4().hex[:20], "object": "event", "api_version": "2026-10-28.endive", "created": int(self.now()),
            "type": kind, "livemode": livemode, "data": {"object": thing},
        })  # fmt: skip
        return self.signed(body, at=at)

    def signed(self, body: str, *, at: float | None = None, secret: str | None = None) -> Posted:
        # Signed by the real clock whatever day it is here: it is the receiver's clock that is compared with.
        stamp = int(time.time() if at is None else at)
        header = stripe.WebhookSignature.generate_signature_header(body, secret or self.secret, stamp)
        return Posted("/hooks/stripe", {"stripe-signature": header, "content-type": "application/json"}, body.encode())


def _form(body: bytes) -> dict[str, Any]:
    """`a[b][0][c]=1` as {"a": {"b": {"0": {"c": "1"}}}}."""
    found: dict[str, Any] = {}
    for name, values in parse_qs(body.decode()).items():
        *path, last = name.replace("]", "").split("[")
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = values[0]
    return found
