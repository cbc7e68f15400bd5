"""Xendit invoices over plain HTTP: its own package does not import on a fresh install and counts money in floats.

Shapes and traps: ../shared/wire/payments.md, section 2. A hook proves neither amount nor payer (`user_id` is the merchant), so
all that is believed is asked for.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from common.errors import InvalidInput
from common.money import from_wire, to_wire
from companies.base import (
    Away,
    CompanyOrder,
    CompanyStanding,
    Hint,
    NotSigned,
    NotUnderstood,
    OpenedOrder,
    Refused,
    State,
    WithoutCards,
)
from companies.hooks import id_by_content, json_object, text_of, texts_of
from companies.http import Wires, text_at
from companies.times import in_time, moment_of

NAME = "xendit"
URL = "https://api.xendit.co"
STATES: Mapping[str, State] = {"PENDING": "pending", "PAID": "paid", "SETTLED": "paid", "EXPIRED": "expired"}
MAX_REFUNDS = 100


class Xendit(WithoutCards):
    """One merchant's account."""

    name = NAME

    def __init__(self, key: str, tokens: Sequence[str], url: str = URL) -> None:
        self._tokens = tokens
        self._wires = Wires(NAME, url, word=_word, auth=(key, ""))

    def open(self, order: CompanyOrder) -> OpenedOrder:
        """As `Company.open`. Xendit knows no key under which an invoice is made once: it is asked for ours first."""
        if order.interval is not None and order.keep_card:
            raise Refused("xendit keeps no card")
        earlier = self._ask("GET", "/v2/invoices", params={"external_id": str(order.id)})
        if not isinstance(earlier, list):  # without knowing what there is, a second invoice would be made
            raise Away("xendit answered what is no list of invoices")
        for invoice in earlier:
            if isinstance(invoice, dict) and invoice.get("external_id") == str(order.id):
                return _opened(invoice)
        try:
            amount = to_wire(NAME, order.currency, order.amount)
        except InvalidInput as error:
            raise Refused(error.detail) from None
        asked: dict[str, Any] = {
            "external_id": str(order.id), "amount": None, "currency": order.currency, "description": order.description,
            "invoice_duration": order.expires_seconds, "success_redirect_url": order.return_url,
            "failure_redirect_url": order.return_url,
        }  # fmt: skip
        if order.email:
            asked["payer_email"] = order.email
        # The amount goes into the text as it is: JSON of a Decimal by way of a float would not be it.
        body = json.dumps(asked).replace('"amount": null', f'"amount": {_text(amount)}', 1).encode()
        return _opened(self._ask("POST", "/v2/invoices/", body=body))

    def look(self, company_id: str) -> CompanyStanding:
        """As `Company.look`."""
        invoice = self._ask("GET", f"/v2/invoices/{company_id}")
        try:
            state = STATES.get(invoice["status"])
            if state is None:
                raise NotUnderstood(f"xendit has a status that is not known here: {text_of(invoice['status'])}")
            currency = invoice.get("currency") or "IDR"
            paid = from_wire(NAME, currency, _first(invoice, "paid_amount", "amount")) if state == "paid" else None
            refunded, failed = self._refunds(company_id, currency) if state == "paid" else (Decimal(0), False)
            return CompanyStanding(
                company_id, text_of(invoice["external_id"]), state, company_id if state == "paid" else None, paid, currency,
                refunded, failed, paid_at=moment_of(invoice.get("paid_at")) if state == "paid" else None,
            )  # fmt: skip
        except (KeyError, TypeError, AttributeError, ValueError, InvalidInput) as error:
            raise NotUnderstood(f"xendit answered what is no invoice: {type(error).__name__}: {error}") from None

    def _refunds(self, invoice_id: str, currency: str) -> tuple[Decimal, bool]:
        """What has gone back of an invoice, and whether the last try failed."""
        found = self._ask("GET", "/refunds", params={"invoice_id": invoice_id, "limit": str(MAX_REFUNDS)})
        refunds = in_time(found["data"], "created")
        gone = sum(
            (from_wire(NAME, currency, each["amount"]) for each in refunds if each["status"] == "SUCCEEDED"), Decimal(0)
        )
        return gone, bool(refunds) and refunds[-1]["status"] in {"FAILED", "CANCELLED"}

    def refund(self, company_id: str, amount: Decimal, currency: str, *, key: str, reason: str) -> None:
        """As `Company.refund`. Xendit takes one of five reasons; ours is in the audit log."""
        del reason
        asked = {
            "invoice_id": company_id,
            "amount": None,
            "currency": currency,
            "reason": "REQUESTED_BY_CUSTOMER",
            "reference_id": key,
        }
        body = (
            json.dumps(asked)
            .replace('"amount": null', f'"amount": {_text(to_wire(NAME, currency, amount))}', 1)
            .encode()
        )
        self._ask("POST", "/refunds", body=body, headers={"idempotency-key": key})

    def read_hook(self, headers: Mapping[str, str], body: bytes, *, path: str, now: float) -> Hint:  # noqa: ARG002 - as every company's
        """As `Company.read_hook`. The token is all that says where it comes from; it has neither signature nor time."""
        given = headers.get("x-callback-token", "").encode()
        # Every token is compared, so that the time taken says nothing about which one fits.
        fits = [hmac.compare_digest(given, token.encode()) for token in self._tokens]
        if not any(fits):
            raise NotSigned("x-callback-token is not the one that is set here")
        event = json_object(body)
        if text_of(event.get("event")) and isinstance(event.get("data"), dict):
            return _of_event(event, body)
        invoice, status = text_of(event.get("id")), text_of(event.get("status"))
        if invoice is None or status is None:
            return Hint(id_by_content(body), "unknown", texts_of(event.get("id")), event)
        return Hint(f"{invoice}:{status}", f"invoice.{status.lower()}", (invoice,), event)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        return self._wires.ask(method, path, **more)


def _word(error: Any) -> str:
    return f"{text_at(error, 'error_code')}: {text_at(error, 'message')}"


def _opened(invoice: Any) -> OpenedOrder:
    try:
        return OpenedOrder(invoice["id"], invoice["invoice_url"], moment_of(invoice.get("expiry_date")))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Away("xendit answered what is no invoice") from None


def _of_event(event: dict[str, Any], body: bytes) -> Hint:
    data = event["data"]
    inner = data.get("data")
    if isinstance(inner, dict) and text_of(data.get("id")) is None:  # its documentation's example nests it twice
        data = inner
    name, status = text_of(data.get("id")), text_of(data.get("status"))
    event_id = f"{name}:{status}" if name and status else id_by_content(body)
    return Hint(event_id, event["event"], texts_of(data.get("invoice_id"), data.get("payment_id")), event)


def _first(values: Mapping[str, Any], *names: str) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


def _text(amount: Decimal | int) -> str:
    """An amount as JSON has it, digit by digit."""
    return f"{Decimal(amount):f}"
