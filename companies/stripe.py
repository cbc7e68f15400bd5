"""Stripe through its own package: Checkout for packs and plans, charges of kept cards, subscriptions that Stripe renews.

Shapes and traps: ../shared/wire/payments.md, section 3. One purchase fires several events; what is credited is one payment
intent, whatever told of it. The version of the API is pinned; set the same at the webhook endpoint.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import stripe

from common.errors import InvalidInput
from common.money import from_wire, to_wire
from companies.base import (
    Away,
    Charged,
    CompanyError,
    CompanyOrder,
    CompanyStanding,
    DisputeState,
    Hint,
    NotSigned,
    NotUnderstood,
    OpenedOrder,
    Refused,
    State,
    Unknown,
    made_at,
)
from companies.hooks import id_by_content, json_object, text_of, texts_of
from companies.http import CompanyAnswer, exchange

NAME = "stripe"
URL = "https://api.stripe.com"
API_VERSION = "2026-10-28.endive"
TOLERANCE_SECONDS = 300
RETRIES = 2
INTERVALS = {"monthly": "month", "yearly": "year"}
INTENTS: Mapping[str, State] = {
    "requires_payment_method": "pending", "requires_confirmation": "pending", "requires_action": "pending",
    "requires_capture": "pending", "processing": "processing", "succeeded": "paid", "canceled": "failed",
}  # fmt: skip
INVOICES: Mapping[str, State] = {
    "draft": "pending", "open": "pending", "paid": "paid", "void": "failed", "uncollectible": "failed",
}  # fmt: skip
DISPUTES: Mapping[str, DisputeState] = {
    "warning_needs_response": "inquiry", "warning_under_review": "inquiry", "warning_closed": "won", "needs_response": "open",
    "under_review": "open", "won": "won", "lost": "lost", "prevented": "won",
}  # fmt: skip
NEEDS_PAYER = "authentication_required"

Found = TypeVar("Found")


class Stripe:
    """One account at Stripe."""

    name = NAME

    def __init__(self, key: str, secrets: Sequence[str], url: str = URL) -> None:
        self._secrets = secrets
        self._is_live = key.startswith(("sk_live_", "rk_live_"))
        self._v1 = stripe.StripeClient(
            key, base_addresses={"api": url}, max_network_retries=RETRIES, stripe_version=API_VERSION,
            http_client=_Http(),
        ).v1  # fmt: skip

    def open(self, order: CompanyOrder) -> OpenedOrder:
        """As `Company.open`: a page of Checkout."""
        try:
            amount = to_wire(NAME, order.currency, order.amount)
        except InvalidInput as error:
            raise Refused(error.detail) from None
        tagged = {"metadata": {"order": str(order.id)}}
        price = {"currency": order.currency.lower(), "unit_amount": amount, "product_data": {"name": order.description}}
        asked: dict[str, Any] = {
            "client_reference_id": str(order.id), "success_url": order.return_url, "cancel_url": order.return_url,
            "expires_at": int(made_at(order.id).timestamp()) + min(order.expires_seconds, 86_000), **tagged,
        }  # fmt: skip
        if order.interval is not None:
            asked |= {"mode": "subscription", "subscription_data": tagged}
            price["recurring"] = {"interval": INTERVALS[order.interval]}
        else:
            # A session's metadata is not copied to its payment.
            asked |= {"mode": "payment", "payment_intent_data": dict(tagged)}
            if order.keep_card:
                asked["payment_intent_data"]["setup_future_usage"] = "off_session"
                asked |= {} if order.customer_id else {"customer_creation": "always"}
        asked["line_items"] = [{"quantity": 1, "price_data": price}]
        if order.customer_id:
            asked["customer"] = order.customer_id
        elif order.email:
            asked["customer_email"] = order.email
        made = _told(
            lambda: self._v1.checkout.sessions.create(asked, {"idempotency_key": f"open:{order.id}"}),  # type: ignore[arg-type]  # its TypedDicts
            gone=Refused,
        )
        try:
            return OpenedOrder(made["id"], made["url"], _moment(made.get("expires_at")))
        except (KeyError, ValueError):
            raise Away("stripe answered what is no session") from None

    def look(self, company_id: str) -> CompanyStanding:
        """As `Company.look`: of a session, an invoice or a payment intent."""
        try:
            if company_id.startswith("in_"):
                return self._invoice(company_id)
            if company_id.startswith("pi_"):
                return self._intent(company_id)
            return self._session(company_id)
        except (KeyError, TypeError, AttributeError, ValueError, InvalidInput) as error:
            raise NotUnderstood(f"stripe answered what is not known here: {type(error).__name__}: {error}") from None

    def _session(self, company_id: str) -> CompanyStanding:
        session = _told(lambda: self._v1.checkout.sessions.retrieve(company_id))
        our_id, currency = session.get("client_reference_id"), (session.get("currency") or "").upper()
        if session["payment_status"] == "no_payment_required" and session.get("mode") != "subscription":
            return CompanyStanding(
                company_id, our_id, "paid", company_id, Decimal(0), currency, paid_at=datetime.now(UTC)
            )
        if session["status"] == "expired":
            return CompanyStanding(company_id, our_id, "expired")
        if session["status"] != "complete":
            return CompanyStanding(company_id, our_id, "pending")
        if session.get("mode") == "subscription":
            found = (
                self._invoice(session["invoice"])
                if session.get("invoice")
                else CompanyStanding(company_id, our_id, "processing")
            )
            subscription = text_of(session.get("subscription"))
            found = found._replace(subscription_id=found.subscription_id or subscription)
        elif session.get("payment_intent"):
            found = self._intent(session["payment_intent"])
            if found.state == "pending":  # it is complete, so a try was made: it is under way, or it failed
                found = found._replace(state="failed" if found.reason else "processing")
        else:
            found = CompanyStanding(company_id, our_id, "processing")
        return found._replace(
            company_id=company_id, our_id=our_id, customer_id=found.customer_id or text_of(session.get("customer"))
        )

    def _intent(self, intent_id: str) -> CompanyStanding:
        intent = _told(lambda: self._v1.payment_intents.retrieve(intent_id))
        state, currency = INTENTS[intent["status"]], intent["currency"].upper()
        fault = intent.get("last_payment_error") or {}
        found = CompanyStanding(
            intent_id, (intent.get("metadata") or {}).get("order"), state, reason=text_of(fault.get("decline_code") or fault.get("code")),
            customer_id=text_of(intent.get("customer")), card_id=text_of(intent.get("payment_method")),
        )  # fmt: skip
        if intent.get("setup_future_usage") != "off_session":
            found = found._replace(card_id=None)  # it was not kept
        if state != "paid":
            return found
        amount = from_wire(NAME, currency, intent["amount_received"])
        return self._with_returns(
            found._replace(payment_ref=intent_id, amount=amount, currency=currency, paid_at=_moment(intent["created"])),
            intent_id,
        )

    def _invoice(self, invoice_id: str) -> CompanyStanding:
        invoice = _told(lambda: self._v1.invoices.retrieve(invoice_id, {"expand": ["payments"]}))
        parent = (invoice.get("parent") or {}).get("subscription_details") or {}
        status, currency = invoice["status"], invoice["currency"].upper()
        state = INVOICES[status]
        ends = [line["period"]["end"] for line in (invoice.get("lines") or {}).get("data", []) if line.get("period")]
        found = CompanyStanding(
            invoice_id, (parent.get("metadata") or {}).get("order"), state, customer_id=text_of(invoice.get("customer")),
            subscription_id=text_of(parent.get("subscription")), billing_reason=text_of(invoice.get("billing_reason")),
            period_end=_moment(max(ends)) if ends else None, reason=None if state != "failed" else status,
        )  # fmt: skip
        if state != "paid":
            return found
        paid = [
            each["payment"] for each in (invoice.get("payments") or {}).get("data", []) if each.get("status") == "paid"
        ]
        intent_id = next((text for each in paid if (text := text_of(each.get("payment_intent")))), None)
        at = _moment((invoice.get("status_transitions") or {}).get("paid_at") or invoice["created"])
        found = found._replace(
            payment_ref=intent_id or invoice_id, amount=from_wire(NAME, currency, invoice["amount_paid"]), currency=currency,
            paid_at=at,
        )  # fmt: skip
        return self._with_returns(found, intent_id) if intent_id else found

    def _with_returns(self, found: CompanyStanding, intent_id: str) -> CompanyStanding:
        """With what went back, and what a bank has to say."""
        currency = found.currency or ""
        refunds = _told(lambda: self._v1.refunds.list({"payment_intent": intent_id, "limit": 100}))["data"]
        disputes = _told(lambda: self._v1.disputes.list({"payment_intent": intent_id, "limit": 100}))["data"]
        refunds.reverse()  # the newest came first, also of those of one second
        refunds.sort(key=lambda each: each["created"])
        gone = sum(
            (from_wire(NAME, currency, each["amount"]) for each in refunds if each["status"] == "succeeded"), Decimal(0)
        )
        states = [DISPUTES.get(each["status"], "open") for each in disputes]
        dispute: DisputeState | None = next(
            (each for each in ("lost", "open", "inquiry", "won") if each in states), None
        )
        failed = bool(refunds) and refunds[-1]["status"] in {"failed", "canceled"}
        return found._replace(refunded=gone, refund_failed=failed, dispute=dispute)

    def refund(self, company_id: str, amount: Decimal, currency: str, *, key: str, reason: str) -> None:
        """As `Company.refund`. The reason stays in our audit log: Stripe takes one of three."""
        del reason
        intent_id = self.look(company_id).payment_ref
        if intent_id is None or not intent_id.startswith("pi_"):
            raise Refused("no payment of this order can be refunded")
        asked = {
            "payment_intent": intent_id,
            "amount": int(to_wire(NAME, currency, amount)),
            "reason": "requested_by_customer",
        }
        _told(lambda: self._v1.refunds.create(asked, {"idempotency_key": f"refund:{key}"}))  # type: ignore[arg-type]  # its TypedDicts

    def charge(self, order: CompanyOrder, *, customer_id: str, card_id: str) -> Charged:
        """As `Company.charge`. A card that wants its owner is not tried again."""
        asked = {
            "amount": int(to_wire(NAME, order.currency, order.amount)), "currency": order.currency.lower(), "customer": customer_id,
            "payment_method": card_id, "off_session": True, "confirm": True, "description": order.description,
            "metadata": {"order": str(order.id)},
        }  # fmt: skip
        try:
            intent = self._v1.payment_intents.create(asked, {"idempotency_key": f"charge:{order.id}"})  # type: ignore[arg-type]  # its TypedDicts
        except stripe.CardError as error:
            made = getattr(error.error, "payment_intent", None)
            intent_id = text_of(getattr(made, "id", None) if made is not None else None)
            word = getattr(error.error, "decline_code", None) or error.code or "card_declined"
            if intent_id is None:
                raise Refused(str(word)) from None
            failed = CompanyStanding(intent_id, str(order.id), "failed", reason=str(word))
            return Charged(failed, needs_payer=error.code == NEEDS_PAYER)
        except stripe.StripeError as error:
            raise _meant(error, gone=Refused) from None
        return Charged(self.look(intent.id), needs_payer=intent.status == "requires_action")

    def renewals(self, subscription_id: str) -> Sequence[str]:
        """As `Company.renewals`: the newest hundred. The first bill is its order's."""
        found = _told(lambda: self._v1.invoices.list({"subscription": subscription_id, "limit": 100}))
        try:
            return [
                each["id"] for each in found["data"]
                if each.get("billing_reason") == "subscription_cycle" and each.get("status") != "draft"
            ]  # fmt: skip
        except (KeyError, TypeError, AttributeError) as error:
            raise NotUnderstood(f"stripe answered what are no invoices: {type(error).__name__}") from None

    def end_subscription(self, subscription_id: str) -> None:
        """As `Company.end_subscription`."""
        _told(lambda: self._v1.subscriptions.update(subscription_id, {"cancel_at_period_end": True}))

    def resume_subscription(self, subscription_id: str) -> None:
        """As `Company.resume_subscription`."""
        _told(lambda: self._v1.subscriptions.update(subscription_id, {"cancel_at_period_end": False}))

    def read_hook(self, headers: Mapping[str, str], body: bytes, *, path: str, now: float) -> Hint:  # noqa: ARG002 - as every company's
        """As `Company.read_hook`. Its package accepts any future time and raises whatever comes to it, so both are seen to here."""
        header = headers.get("stripe-signature", "")
        fits = [_fits(body, header, secret) for secret in self._secrets]
        if not any(fits):
            raise NotSigned("no Stripe-Signature that is set here fits this body and time")
        signed_at = next((part[2:] for part in header.split(",") if part.startswith("t=")), "")
        if not signed_at.isdigit() or int(signed_at) > now + TOLERANCE_SECONDS:
            raise NotSigned("the signature is of a time to come")
        event = json_object(body)
        if event.get("livemode") is not self._is_live:
            raise NotSigned("the event is of the other mode: test and live have secrets of their own")
        thing = event.get("data", {}).get("object", {}) if isinstance(event.get("data"), dict) else {}
        return _hint(event, thing if isinstance(thing, dict) else {}, body)


def _fits(body: bytes, header: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body.decode(), header, secret, TOLERANCE_SECONDS)
    except Exception:  # noqa: BLE001 - it raises six kinds besides its own, for what a stranger sent
        return False
    return True


def _hint(event: dict[str, Any], thing: dict[str, Any], body: bytes) -> Hint:
    """What the things of an event are called. A subscription's first invoice belongs to its session; only later ones are news."""
    kind = text_of(event.get("type")) or "unknown"
    subscription = None
    if kind.startswith("invoice.") and thing.get("billing_reason") == "subscription_cycle":
        parent = thing.get("parent")
        details = parent.get("subscription_details") if isinstance(parent, dict) else None
        subscription = text_of(details.get("subscription")) if isinstance(details, dict) else None
    ids = texts_of(thing.get("id"), thing.get("payment_intent"), thing.get("invoice"))
    return Hint(text_of(event.get("id")) or id_by_content(body), kind, ids, event, subscription)


class _Http(stripe.HTTPClient):
    """Its package's requests, sent as every company's: with one end for a whole answer, and its bytes counted."""

    name = "headrace"

    def request(  # type: ignore[override]  # its own clients take no _usage either
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        body = post_data.encode() if isinstance(post_data, str) else post_data
        try:
            answer = exchange(NAME, method.upper(), url, headers=headers, body=body)
        except Away as error:
            raise _not_answered(str(error)) from None
        if not _is_own(answer):  # its package raises AttributeError and more for some of what a proxy says
            raise _not_answered(f"{answer.status}, and not in its own words", again=answer.status >= 500)
        return answer.body, answer.status, answer.headers

    def close(self) -> None:
        """Each question has a connection of its own."""


def _not_answered(why: str, *, again: bool = True) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(why, should_retry=again)  # type: ignore[no-untyped-call]  # its own, untyped


def _is_own(answer: CompanyAnswer) -> bool:
    """Whether an answer has Stripe's shape: an object, and of an error with its type."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return False
    error = found.get("error") if isinstance(found, dict) else None
    if answer.status < 400:
        return isinstance(found, dict)
    return isinstance(error, dict) and isinstance(error.get("type"), str)


def _told(ask: Callable[[], Any], *, gone: type[CompanyError] = Unknown) -> dict[str, Any]:
    """What Stripe answers, as a dictionary. Raises Refused, Away, and `gone` where it does not know what was named."""
    try:
        found: dict[str, Any] = _plain(ask())
    except stripe.StripeError as error:
        raise _meant(error, gone=gone) from None
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, stripe.StripeObject):
        value = value.to_dict()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _meant(error: stripe.StripeError, *, gone: type[CompanyError] = Unknown) -> Exception:
    """Its error in our words, without what it quotes of our key."""
    status = error.http_status or 0
    if isinstance(error, stripe.CardError):
        return Refused(str(error.code or "card_declined"))
    if isinstance(error, stripe.IdempotencyError) and status == 400:  # asked for again, it would be so for ever
        return Refused("another order was made under this key; order again")
    if error.code == "resource_missing":
        return gone("stripe knows no such thing")
    if isinstance(error, stripe.InvalidRequestError) and 400 <= status < 500 and status != 429:
        return Refused((error.user_message or error.code or f"stripe answered {status}")[:300])
    return Away(f"stripe did not do it now ({type(error).__name__}, {status})")


def _moment(seconds: Any) -> datetime | None:
    """A moment of Unix seconds. Raises ValueError for one beyond the calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) else None
    except (OverflowError, OSError):
        raise ValueError("a time is beyond the calendar") from None
